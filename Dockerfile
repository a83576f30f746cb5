# syntax=docker/dockerfile:1
# The webhook with its OPA: slim, as a user that is not root. Needs no writable root
# filesystem: what it writes goes to /tmp and to the folder of --cert-dir, both of which a pod mounts.

FROM golang:1.26-bookworm AS go

FROM python:3.11-slim-bookworm AS build
COPY --from=go /usr/local/go /usr/local/go
ENV PATH=/opt/portcullis/bin:/usr/local/go/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/portcullis
WORKDIR /src
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY webhook webhook
COPY certs certs
COPY policies_rego policies_rego
COPY manifests/examples manifests/examples
COPY manifests/base/webhooks.yaml manifests/base/webhooks.yaml
RUN pip install --no-deps --no-build-isolation .
# The same function that serve, demo and the tests get OPA by.
RUN cp "$(XDG_CACHE_HOME=/tmp/cache python -m webhook.decision.binary)" /opt/portcullis/bin/opa

FROM python:3.11-slim-bookworm
COPY --from=build /opt/portcullis /opt/portcullis
ENV PATH=/opt/portcullis/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PORTCULLIS_CERT_DIR=/tmp/certs
USER 65532:65532
EXPOSE 8443
ENTRYPOINT ["portcullis"]
CMD ["serve"]
