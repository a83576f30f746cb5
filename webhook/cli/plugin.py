"""
What kubectl asks of a plugin beyond running it: `kubectl_complete-portcullis`, for completion at the prompt.

Source: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#tab-completion
"""

import os
import shlex
import sys

FILES_TOO = ":0"
"""Cobra's last line of an answer: where nothing fits, names of files may."""


def complete() -> None:
    """Write what could stand in place of the last word of the command line, a line each."""
    from webhook.cli.commands import app  # noqa: PLC0415 - as in `webhook.cli`

    words = sys.argv[1:]
    # As a shell would ask; one of the plain kinds, for kubectl knows how to show a list.
    asked = {"COMP_WORDS": shlex.join(["portcullis", *words]), "COMP_CWORD": str(len(words))}
    os.environ.update({**asked, "_PORTCULLIS_COMPLETE": "complete_bash"})
    try:
        app(args=[], prog_name="portcullis")
    finally:
        sys.stdout.write(f"{FILES_TOO}\n")
