package bench

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// target is the Service that is asked, as the user named it.
type target struct {
	namespace, name string
	port            string // a number or a name; empty: the Service has one, or one named http
	path            string // begins with a slash
}

// parseTarget reads NAME[.NAMESPACE][:PORT][/PATH], with http:// before it or
// without. The namespace is taken when none is named.
func parseTarget(text, namespace string) (target, error) {
	if text == "" {
		return target{}, fmt.Errorf("--service is required: NAME[.NAMESPACE][:PORT][/PATH], such as payments:80/health")
	}
	wrong := func() (target, error) {
		return target{}, fmt.Errorf("--service %q: want NAME[.NAMESPACE][:PORT][/PATH], such as payments:80/health", text)
	}
	if strings.HasPrefix(text, "https://") {
		return target{}, fmt.Errorf("--service %q: only plain HTTP is measured; encryption between sidecars is theirs", text)
	}
	rest := strings.TrimPrefix(text, "http://")
	host, path, _ := strings.Cut(rest, "/")
	t := target{namespace: namespace, path: "/" + path}
	if name, port, err := net.SplitHostPort(host); err == nil {
		host, t.port = name, port
	} else if strings.Contains(host, ":") {
		return wrong()
	}
	// What follows the namespace is the cluster's domain, if anything.
	labels := strings.SplitN(host, ".", 3)
	t.name = labels[0]
	if len(labels) > 1 {
		t.namespace = labels[1]
	}
	if len(labels) > 2 && labels[2] != "svc" && !strings.HasPrefix(labels[2], "svc.") {
		return wrong()
	}
	if _, err := url.Parse("http://host" + t.path); err != nil || t.name == "" || t.namespace == "" {
		return wrong()
	}
	return t, nil
}

// choosePort returns the port of the Service that is asked.
func (t target) choosePort(s *corev1.Service) (corev1.ServicePort, error) {
	var ports []corev1.ServicePort
	var names []string
	for _, p := range s.Spec.Ports {
		if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
			ports = append(ports, p)
			names = append(names, strings.TrimSuffix(fmt.Sprintf("%d/%s", p.Port, p.Name), "/"))
		}
	}
	for _, p := range ports {
		switch {
		case t.port == "" && (len(ports) == 1 || p.Name == "http"),
			t.port != "" && (t.port == p.Name || t.port == strconv.Itoa(int(p.Port))):
			return p, nil
		}
	}
	if t.port == "" {
		return corev1.ServicePort{}, fmt.Errorf("service %s/%s has the TCP ports %s: say which one, --service %s:PORT", t.namespace, t.name, strings.Join(names, ", "), t.name)
	}
	return corev1.ServicePort{}, fmt.Errorf("service %s/%s has no TCP port %s, but %s", t.namespace, t.name, t.port, strings.Join(names, ", "))
}

// url is what the clients ask. It has the Service's name, as an application's
// would, and not its address.
func (t target) url(port int32) string {
	return fmt.Sprintf("http://%s.%s:%d%s", t.name, t.namespace, port, t.path)
}
