package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// answerWithin is how long a server may take for one answer, or for a handshake.
const answerWithin = 10 * time.Second

// Target is the server that is asked.
type Target struct {
	network, address, host string
	tls                    *tls.Config // nil: plain
	fresh                  bool        // a connection for each request
}

func newTarget(base, socket, ca, connections string) (*Target, error) {
	where, err := url.Parse(base)
	if err != nil || where.Host == "" {
		return nil, fmt.Errorf("-url has to be http(s)://HOST:PORT, not %q", base)
	}
	target := &Target{network: "tcp", address: where.Host, host: where.Host, fresh: connections != "kept"}
	if socket != "" {
		target.network, target.address = "unix", socket
	}
	if where.Scheme == "https" {
		if target.tls, err = trusting(ca, where.Hostname()); err != nil {
			return nil, err
		}
	}
	switch connections {
	case "kept", "new":
	case "resumed":
		if target.tls == nil {
			return nil, errors.New("a session is resumed over TLS alone")
		}
		target.tls.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	default:
		return nil, fmt.Errorf("-connections has to be kept, new or resumed, not %q", connections)
	}
	return target, nil
}

func trusting(ca, host string) (*tls.Config, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	return &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}, nil
}

// Lane is one connection at a time to a target.
type Lane struct {
	target          *Target
	connection      net.Conn
	reader          *bufio.Reader
	out, in         []byte
	opened, resumed int
}

// ask sends a request and returns its answer, which is valid until the next one.
func (lane *Lane) ask(request *Request, mark []byte) (int, []byte, error) {
	if lane.connection == nil {
		if err := lane.dial(); err != nil {
			return 0, nil, err
		}
	}
	if err := lane.connection.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return 0, nil, err
	}
	lane.out = request.write(lane.out[:0], mark)
	if _, err := lane.connection.Write(lane.out); err != nil {
		return 0, nil, err
	}
	return lane.read()
}

func (lane *Lane) read() (int, []byte, error) {
	reply, err := http.ReadResponse(lane.reader, nil)
	if err != nil {
		return 0, nil, err
	}
	defer reply.Body.Close()
	lane.in = lane.in[:0]
	for {
		if len(lane.in) == cap(lane.in) {
			lane.in = append(lane.in, 0)[:len(lane.in)]
		}
		n, err := reply.Body.Read(lane.in[len(lane.in):cap(lane.in)])
		lane.in = lane.in[:len(lane.in)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, nil, err
		}
	}
	if reply.Close {
		lane.hangUp()
	}
	return reply.StatusCode, lane.in, nil
}

func (lane *Lane) dial() error {
	dialer := net.Dialer{Timeout: answerWithin}
	connection, err := dialer.Dial(lane.target.network, lane.target.address)
	if err != nil {
		return err
	}
	if lane.target.tls != nil {
		secured := tls.Client(connection, lane.target.tls)
		if err := connection.SetDeadline(time.Now().Add(answerWithin)); err != nil {
			return err
		}
		if err := secured.Handshake(); err != nil {
			connection.Close()
			return err
		}
		if secured.ConnectionState().DidResume {
			lane.resumed++
		}
		connection = secured
	}
	lane.opened++
	lane.connection = connection
	if lane.reader == nil {
		lane.reader = bufio.NewReaderSize(connection, 1<<16)
	} else {
		lane.reader.Reset(connection)
	}
	return nil
}

func (lane *Lane) hangUp() {
	if lane.connection != nil {
		_ = lane.connection.Close()
		lane.connection = nil
	}
}
