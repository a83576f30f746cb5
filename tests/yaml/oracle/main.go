// Tells what kubectl reads in a text: one JSON string of base64 a line in, one JSON object a line out.
//
// The way is that of k8s.io/cli-runtime's StreamVisitor: YAMLOrJSONDecoder cuts the text, sigs.k8s.io/yaml reads each
// piece, and what is empty or null is passed over.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	stream "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// The buffer that kubectl gives the decoder.
const lookAhead = 4096

type answer struct {
	// The objects that kubectl would send, as JSON, until the error if there is one.
	Documents []string `json:"documents"`
	Error     string   `json:"error"`
	// What the whole text is for yaml.YAMLToJSON and YAMLToJSONStrict, which know one document only.
	Single      string `json:"single"`
	SingleError string `json:"single_error"`
	StrictError string `json:"strict_error"`
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		text, wrong := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(line)))
		if err := errors.Join(err, wrong); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		told, _ := json.Marshal(read(text))
		fmt.Fprintln(out, string(told))
	}
}

func read(text []byte) answer {
	found := answer{Documents: []string{}}
	single, err := yaml.YAMLToJSON(text)
	found.Single, found.SingleError = string(single), said(err)
	_, err = yaml.YAMLToJSONStrict(text)
	found.StrictError = said(err)
	decoder := stream.NewYAMLOrJSONDecoder(bytes.NewReader(text), lookAhead)
	for {
		var document runtime.RawExtension
		if err := decoder.Decode(&document); err != nil {
			if !errors.Is(err, io.EOF) {
				found.Error = said(err)
			}
			return found
		}
		raw := bytes.TrimSpace(document.Raw)
		if len(raw) > 0 && !bytes.Equal(raw, []byte("null")) {
			found.Documents = append(found.Documents, string(raw))
		}
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
