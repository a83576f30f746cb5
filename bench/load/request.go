package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// mark stands in bodies for what differs from request to request; it is replaced by as many hexadecimal digits.
const mark = "benchmarking"

// born tells the requests of one process from those of another: the first half of every mark.
var born = uint64(time.Now().UnixNano()/int64(time.Millisecond)) & 0xffffff

// Request is what is sent, and what its answer has to be like.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body"`
	// Check is review (an AdmissionReview), opa (OPA's answer to a query), echo (the body) or status (200 alone).
	Check   string `json:"check"`
	Allowed bool   `json:"allowed"`
	head    []byte
	marks   []int // where in Body
}

func readRequests(path, host string) ([]Request, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var requests []Request
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var request Request
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(requests)+1, err)
		}
		request.prepare(host)
		requests = append(requests, request)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%s holds no request", path)
	}
	return requests, nil
}

func (request *Request) prepare(host string) {
	request.head = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", request.Method, request.Path, host)
	if request.Body != "" {
		request.head = fmt.Appendf(
			request.head, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(request.Body))
	}
	request.head = append(request.head, '\r', '\n')
	for at := 0; ; at += len(mark) {
		found := bytes.Index([]byte(request.Body[at:]), []byte(mark))
		if found < 0 {
			return
		}
		at += found
		request.marks = append(request.marks, at)
	}
}

func (request *Request) markFor(number int64) []byte {
	return fmt.Appendf(nil, "%06x%06x", born, uint64(number)&0xffffff)
}

// write appends the request to `out`, with its marks replaced.
func (request *Request) write(out, replaced []byte) []byte {
	out = append(out, request.head...)
	body := len(out)
	out = append(out, request.Body...)
	for _, at := range request.marks {
		copy(out[body+at:], replaced)
	}
	return out
}

type review struct {
	Response *struct {
		UID     string `json:"uid"`
		Allowed bool   `json:"allowed"`
		Status  struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"status"`
	} `json:"response"`
}

type decision struct {
	Result *struct {
		Allowed bool `json:"allowed"`
	} `json:"result"`
}

// check says what is wrong with an answer.
func (request *Request) check(status int, answer, replaced []byte) error {
	if status != 200 {
		return fmt.Errorf("%s %s: HTTP %d: %.200s", request.Method, request.Path, status, answer)
	}
	switch request.Check {
	case "review":
		return request.checkReview(answer, replaced)
	case "opa":
		var found decision
		if err := json.Unmarshal(answer, &found); err != nil || found.Result == nil {
			return fmt.Errorf("no decision: %.200s", answer)
		}
		return request.agree(found.Result.Allowed, answer)
	case "echo":
		if whole := request.write(nil, replaced)[len(request.head):]; !bytes.Equal(answer, whole) {
			return fmt.Errorf("not the body that was sent: %.200s", answer)
		}
	case "status":
	default:
		return fmt.Errorf("nothing is known of the check %q", request.Check)
	}
	return nil
}

func (request *Request) checkReview(answer, replaced []byte) error {
	var found review
	if err := json.Unmarshal(answer, &found); err != nil || found.Response == nil {
		return fmt.Errorf("no AdmissionReview: %.200s", answer)
	}
	if len(request.marks) > 0 && !bytes.HasSuffix([]byte(found.Response.UID), replaced) {
		return fmt.Errorf("the answer to another review: uid %s, not …%s", found.Response.UID, replaced)
	}
	// What passes by itself is a 500 as well, and a rule's: then its message begins with the rule.
	message := found.Response.Status.Message
	if found.Response.Status.Code == 500 && (message == "" || message[0] != '[') {
		return fmt.Errorf("denied for want of a decision: %.200s", message)
	}
	return request.agree(found.Response.Allowed, answer)
}

func (request *Request) agree(allowed bool, answer []byte) error {
	if allowed != request.Allowed {
		return fmt.Errorf("allowed is %t, not %t: %.300s; asked: %.600s", allowed, request.Allowed, answer, request.Body)
	}
	return nil
}
