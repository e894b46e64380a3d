package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/crossfade-dev/crossfade/cmd/crossfade/intercept"
	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// proxyUser is the user that sidecars run as: interception knows them by it.
const proxyUser = 1337

// pod is a network namespace with an address and, if it likes, a sidecar. What is
// done in it is done on a thread of its own.
type pod struct {
	t    *testing.T
	name string
	ip   string
	tid  int
	todo chan func()
	web  *http.Server
	// copies are the requests that came as copies, from a client with a certificate.
	copies atomic.Int64
}

// newHub makes the namespace that pods are plugged into, with the gateway's address.
func newHub(t *testing.T) *pod {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	hub := newNamespace(t, "hub")
	hub.ip = "10.203.0.1"
	hub.run("ip link add br0 type bridge")
	hub.run("ip address add 10.203.0.1/24 dev br0")
	hub.run("ip link set br0 up")
	return hub
}

func newNamespace(t *testing.T, name string) *pod {
	t.Helper()
	p := &pod{t: t, name: name, todo: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // And never unlocked: the thread ends with the goroutine.
		p.tid = unix.Gettid()
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range p.todo {
			f()
		}
	}()
	if err := <-made; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(p.todo) })
	p.run("ip link set lo up")
	return p
}

// newPod plugs a pod into the hub.
func newPod(t *testing.T, hub *pod, name, ip string) *pod {
	t.Helper()
	p := newNamespace(t, name)
	p.ip = ip
	p.run(fmt.Sprintf("ip link add eth0 type veth peer name %s netns %d", name, hub.tid))
	hub.run(fmt.Sprintf("ip link set %s master br0 up", name))
	p.run("ip address add " + ip + "/24 dev eth0")
	p.run("ip link set eth0 up")
	p.run("ip route add default via " + hub.ip)
	return p
}

// do runs f inside and waits for it.
func (p *pod) do(f func()) {
	done := make(chan struct{})
	p.todo <- func() { defer close(done); f() }
	<-done
}

func (p *pod) run(command string) {
	p.t.Helper()
	p.do(func() {
		parts := strings.Fields(command)
		if out, err := exec.Command(parts[0], parts[1:]...).CombinedOutput(); err != nil {
			p.t.Errorf("%s: %s: %v\n%s", p.name, command, err, out)
		}
	})
	if p.t.Failed() {
		p.t.FailNow()
	}
}

func (p *pod) listen(address string) net.Listener {
	p.t.Helper()
	var l net.Listener
	var err error
	p.do(func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = l.Close() })
	return l
}

// dial connects from inside.
func (p *pod) dial(_ context.Context, _, address string) (connection net.Conn, err error) {
	p.do(func() { connection, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp4", address) })
	return connection, err
}

// client asks from inside, by HTTP/1.1 or HTTP/2 in cleartext.
func (p *pod) client(http2 bool) *http.Client {
	transport := &http.Transport{DialContext: p.dial, MaxIdleConnsPerHost: 64}
	if http2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// sidecar redirects the pod's connections and starts its proxy.
func (p *pod) sidecar(program string, identity, control string, port uint32, drain int) {
	t := p.t
	t.Helper()
	p.do(func() {
		if err := intercept.Run(t.Context(), nil); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	})
	dir := t.TempDir()
	bootstrap, err := xds.Bootstrap(xds.BootstrapOptions{
		NodeID: "shop/" + p.name, View: xds.SidecarCluster("shop"),
		XDSHost: control, XDSPort: port, AdminSocket: filepath.Join(dir, "admin.sock"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(identity, filepath.Join(dir, "tls")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	handOver(t, dir)
	handOver(t, identity)
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, program, "-c", file, "--disable-hot-restart", "--concurrency", "2",
		"--log-level", "warning", "--drain-time-s", strconv.Itoa(drain), "--drain-strategy", "immediate")
	command.Dir, command.Stderr = dir, t.Output()
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: proxyUser, Gid: proxyUser}}
	p.do(func() { err = command.Start() })
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // It was killed.
	})
}

// handOver gives a test's directory to the proxy's user.
func handOver(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, proxyUser, proxyUser)
	}); err != nil {
		t.Fatal(err)
	}
}

// serve starts the pod's application: HTTP of both versions and WebSocket on 8080,
// gRPC on 8081, and on 9000 a server that speaks first.
func (p *pod) serve() *health.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	web := &http.Server{Handler: http.HandlerFunc(p.answer), Protocols: protocols, ReadHeaderTimeout: time.Minute}
	go func(l net.Listener) { _ = web.Serve(l) }(p.listen(":8080"))
	p.web = web
	p.t.Cleanup(func() { _ = web.Close() })

	states := health.NewServer()
	calls := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(calls, states)
	go func(l net.Listener) { _ = calls.Serve(l) }(p.listen(":8081"))
	p.t.Cleanup(calls.Stop)

	raw := p.listen(":9000")
	go func() {
		for {
			connection, err := raw.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = connection.Close() }()
				_, _ = fmt.Fprintln(connection, p.name)
				_, _ = io.Copy(connection, connection)
			}()
		}
	}()
	return states
}

// slowAnswer is how long an answer to /slow takes.
const slowAnswer = 5 * time.Second

// answer says who answers, who asked according to the proxy, and from where.
func (p *pod) answer(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Crossfade-Mirror") != "" && strings.Contains(r.Header.Get("X-Forwarded-Client-Cert"), "sa/web") {
		p.copies.Add(1)
	}
	if r.URL.Path == "/slow" {
		time.Sleep(slowAnswer)
	}
	if r.Header.Get("Upgrade") != "websocket" {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		w.Header().Set("X-Peer", r.Header.Get("X-Forwarded-Client-Cert"))
		w.Header().Set("X-Source", host)
		_, _ = io.WriteString(w, p.name)
		return
	}
	connection, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"+p.name+"\n")
	_, _ = io.Copy(connection, buffer)
}

// line reads a line, which must come soon.
func line(connection net.Conn) (string, error) {
	if err := connection.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	text, err := bufio.NewReaderSize(connection, 16).ReadString('\n')
	return strings.TrimSpace(text), err
}
