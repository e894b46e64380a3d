package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/crossfade-dev/crossfade/proxy/intercept"
	"github.com/crossfade-dev/crossfade/proxy/probe"
)

// Bounds of one probe; the time is the probe's own.
const (
	maxProbeBody      = 10 << 10 // as much of an answer as the kubelet reads
	maxProbeRedirects = 10
)

// probes answers the kubelet's questions about the application's containers by
// asking them itself: it is in the pod, where no certificate is needed. Only
// what the table holds can be asked, whatever the path.
type probes struct {
	table probe.Table
	// host is where the application is asked: the pod's address, as the kubelet
	// would, so that one that listens there only is reached, too.
	host string
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// newProbes reads the table of environment variable probe.Variable. The pod's
// address may be empty, which stands for loopback.
func newProbes(table, podIP string) (http.Handler, error) {
	t, err := probe.Parse(table)
	if err != nil {
		return nil, err
	}
	p := probes{table: t, host: "127.0.0.1"}
	dialer := &net.Dialer{}
	if podIP != "" {
		ip, err := netip.ParseAddr(podIP)
		if err != nil {
			return nil, fmt.Errorf("read the pod's address: %w", err)
		}
		family := intercept.IPv4
		if ip.Is6() {
			family = intercept.IPv6
		}
		p.host = podIP
		// Connections of this user to the pod's own address go to Envoy, but for
		// those from here: as Envoy's own on the last stretch.
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(family.InboundSource(), 0))
	}
	p.dial = dialer.DialContext
	return p, nil
}

// ServeHTTP asks what the path names. The answer's status is the application's,
// as far as there is one; else 503 and the reason in one line.
func (p probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, probe.Path)
	original, declared := p.table[key]
	if !declared {
		http.Error(w, "no such probe was declared when this pod was created", http.StatusNotFound)
		return
	}
	ctx, hook := r.Context(), probe.KindOf(key).Hook()
	if !hook {
		// The kubelet gives up after the same time; what it gave up is not gone on with.
		timeout, cancel := context.WithTimeout(ctx, time.Duration(max(original.TimeoutSeconds, 1))*time.Second)
		defer cancel()
		ctx = timeout
	}
	status, err := p.ask(ctx, original, hook)
	switch {
	case err != nil && hook:
		// The kubelet takes any answer to a hook for success.
		panic(http.ErrAbortHandler)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.WriteHeader(status)
	}
}

func (p probes) ask(ctx context.Context, original probe.Probe, hook bool) (int, error) {
	switch {
	case original.HTTP != nil:
		return p.askHTTP(ctx, *original.HTTP, hook)
	case original.GRPC != nil:
		return http.StatusOK, p.askGRPC(ctx, *original.GRPC)
	case original.TCP != nil:
		c, err := p.dial(ctx, "tcp", p.address(original.TCP.Port))
		if err != nil {
			return 0, err
		}
		return http.StatusOK, c.Close()
	}
	return 0, errors.New("the probe asks nothing")
}

func (p probes) address(port int32) string { return net.JoinHostPort(p.host, strconv.Itoa(int(port))) }

// askHTTP does as the kubelet does: no keep-alive, no look at certificates,
// redirects followed on the same host only, another one's being a success.
func (p probes) askHTTP(ctx context.Context, h probe.HTTP, hook bool) (int, error) {
	request, err := p.request(ctx, h, hook)
	if err != nil {
		return 0, err
	}
	client := http.Client{
		Transport: &http.Transport{
			DialContext: p.dial, DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // The kubelet does not look at certificates either.
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= maxProbeRedirects {
				return fmt.Errorf("stopped after %d redirects", maxProbeRedirects)
			}
			return nil
		},
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	// A part of the answer that does not come is a failure to the kubelet, too.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxProbeBody)); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return response.StatusCode, nil
}

func (p probes) request(ctx context.Context, h probe.HTTP, hook bool) (*http.Request, error) {
	target, err := url.Parse(h.Path)
	if err != nil {
		// As the kubelet does with a path that is no URL.
		target = &url.URL{Path: h.Path}
	}
	target.Scheme, target.Host = "http", p.address(h.Port)
	if h.Scheme == "HTTPS" {
		target.Scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for _, header := range h.Headers {
		request.Header.Add(header.Name, header.Value)
		if http.CanonicalHeaderKey(header.Name) == "Host" {
			request.Host = header.Value
		}
	}
	if _, given := request.Header["User-Agent"]; !given {
		agent := "kube-probe/crossfade"
		if hook {
			agent = "kube-lifecycle/crossfade"
		}
		request.Header.Set("User-Agent", agent)
	}
	if _, given := request.Header["Accept"]; !given {
		request.Header.Set("Accept", "*/*")
	}
	return request, nil
}

func (p probes) askGRPC(ctx context.Context, g probe.GRPC) error {
	c, err := grpc.NewClient("passthrough:///"+p.address(g.Port),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent("kube-probe/crossfade"),
		grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return p.dial(ctx, "tcp", address) }))
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	defer func() { _ = c.Close() }()
	answer, err := healthv1.NewHealthClient(c).Check(ctx, &healthv1.HealthCheckRequest{Service: g.Service})
	if err != nil {
		return err
	}
	if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("service %q is %s", g.Service, answer.GetStatus())
	}
	return nil
}
