package certificates

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxAnswer bounds what is read of an answer: a certificate and some roots.
const maxAnswer = 1 << 20

// Ask asks for a certificate at https://<address>Path. The client's TLS
// configuration has to name the roots that the server must chain up to.
func Ask(ctx context.Context, client *http.Client, address string, request Request) (answer Answer, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return Answer{}, fmt.Errorf("ask for a certificate: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+Path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("ask for a certificate: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		return Answer{}, fmt.Errorf("ask for a certificate: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return Answer{}, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		var problem Problem
		if json.Unmarshal(content, &problem) != nil || problem.Error == "" {
			problem.Error = fmt.Sprintf("%.200q", content)
		}
		return Answer{}, fmt.Errorf("ask for a certificate: %s refused with status %d: %s", address, response.StatusCode, problem.Error)
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		return Answer{}, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return answer, nil
}
