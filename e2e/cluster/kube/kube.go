// Package kube asks an API server the few questions that starting a cluster
// takes. It is far smaller than client-go, which this module would otherwise
// have to compile before it can say its first word.
package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// requestTimeout is per request; callers ask again.
const requestTimeout = 2 * time.Second

// Client talks to one API server as its administrator.
type Client struct {
	url  string
	http *http.Client
}

// New reads the administrator's certificate from a folder made by package pki.
func New(pkiDir, url string) (*Client, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(pkiDir, "admin.crt"), filepath.Join(pkiDir, "admin.key"))
	if err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(pkiDir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("read CA: no certificate in it")
	}
	return &Client{url: url, http: &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			// Never through a proxy: the address is on this machine.
			Proxy:           nil,
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, MinVersion: tls.VersionTLS13},
		},
	}}, nil
}

// Ready returns nil when the API server calls itself ready.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.get(ctx, "/readyz")
	return err
}

// Exists returns nil when there is an object at the path.
func (c *Client) Exists(ctx context.Context, path string) error {
	_, err := c.get(ctx, path)
	return err
}

// NodeReady returns nil when the node has the condition Ready.
func (c *Client) NodeReady(ctx context.Context, name string) error {
	return c.condition(ctx, "/api/v1/nodes/"+name, "Ready")
}

// DeploymentAvailable returns nil when the Deployment has the condition
// Available.
func (c *Client) DeploymentAvailable(ctx context.Context, namespace, name string) error {
	return c.condition(ctx, "/apis/apps/v1/namespaces/"+namespace+"/deployments/"+name, "Available")
}

func (c *Client) condition(ctx context.Context, path, kind string) error {
	body, err := c.get(ctx, path)
	if err != nil {
		return err
	}
	var object struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	for _, condition := range object.Status.Conditions {
		if condition.Type != kind {
			continue
		}
		if condition.Status == "True" {
			return nil
		}
		return fmt.Errorf("%s: not %s: %s", path, kind, condition.Message)
	}
	return fmt.Errorf("%s: not %s yet", path, kind)
}

func (c *Client) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the API server: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read %s: %s", path, response.Status)
	}
	return body, nil
}
