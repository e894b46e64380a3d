package parts

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/crossfade-dev/crossfade/e2e/cluster/image"
	"github.com/crossfade-dev/crossfade/e2e/cluster/layout"
)

// Part is something to build or install.
type Part struct {
	Name    string
	sources []string // folders whose files it is made from, below the cluster module
	recipe  string   // everything else that it is made from: flags, versions
	outputs []string // files that must exist
	make    func(ctx context.Context, b *builder) error
}

// ForCluster are the names of the parts that `up` needs.
func ForCluster() []string { return []string{"packages", "kubernetes", "coredns", "pause"} }

// All returns the parts in the order in which they are built.
func All(root layout.Root) []Part {
	return []Part{
		packages(), kubernetes(root), coreDNS(root), pause(root), envoy(root), prometheus(root), promtool(root),
	}
}

// Choose returns the parts with the given names in their own order, or all if
// there are no names.
func Choose(all []Part, names []string) ([]Part, error) {
	if len(names) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	var chosen []Part
	var known []string
	for _, p := range all {
		if wanted[p.Name] {
			chosen = append(chosen, p)
			delete(wanted, p.Name)
		}
		known = append(known, p.Name)
	}
	for n := range wanted {
		return nil, fmt.Errorf("there is no part %q: the parts are %s", n, strings.Join(known, ", "))
	}
	return chosen, nil
}

// Missing returns those of the parts that have to be built.
func Missing(ctx context.Context, root layout.Root, parts []Part) ([]Part, error) {
	version, err := goVersion(ctx)
	if err != nil {
		return nil, err
	}
	var missing []Part
	for _, p := range parts {
		s, err := p.stamp(root, version)
		if err != nil {
			return nil, err
		}
		if !p.done(root, s) {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// Build makes the parts one after the other and tells out what it does.
func Build(ctx context.Context, root layout.Root, parts []Part, out io.Writer) error {
	version, err := goVersion(ctx)
	if err != nil {
		return err
	}
	for _, p := range parts {
		b := &builder{root: root, reporter: newReporter(out, p.Name)}
		if err := b.build(ctx, p, version); err != nil {
			return fmt.Errorf("build %s: %w", p.Name, err)
		}
	}
	return nil
}

// builder is what a part is made with.
type builder struct {
	root     layout.Root
	reporter *reporter
}

func (b *builder) build(ctx context.Context, p Part, version string) error {
	// Taken before, so that a source that changes meanwhile is built again.
	s, err := p.stamp(b.root, version)
	if err != nil {
		return err
	}
	b.reporter.begin()
	err = p.make(ctx, b)
	b.reporter.end(err)
	if err != nil {
		return err
	}
	file := b.root.Stamp(p.Name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("make folder of stamps: %w", err)
	}
	if err := os.WriteFile(file, []byte(s), 0o644); err != nil {
		return fmt.Errorf("write stamp: %w", err)
	}
	return nil
}

// debian are commands and the packages that bring them.
var debian = []struct{ file, name string }{
	{"/usr/bin/containerd", "containerd"},
	{"/usr/sbin/runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"/usr/sbin/iptables", "iptables"},
	{"/usr/sbin/nft", "nftables"},
	{"/usr/sbin/conntrack", "conntrack"},
	{"/usr/sbin/ipset", "ipset"},
	{"/usr/sbin/ethtool", "ethtool"},
	{"/usr/bin/socat", "socat"},
	{"/usr/sbin/ip", "iproute2"},
}

func packages() Part {
	p := Part{Name: "packages", recipe: fmt.Sprint(debian)}
	for _, d := range debian {
		p.outputs = append(p.outputs, d.file)
	}
	p.make = func(ctx context.Context, b *builder) error {
		var names []string
		for _, d := range debian {
			if _, err := os.Stat(d.file); err != nil {
				names = append(names, d.name)
			}
		}
		return b.install(ctx, names)
	}
	return p
}

func kubernetes(root layout.Root) Part {
	const version = "v1.36.3"
	components := []string{
		"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
	}
	program := goProgram{folder: "kubernetes", out: root.Program("kubernetes"), ldflags: kubernetesVersion(version)}
	p := Part{Name: "kubernetes", sources: []string{"kubernetes"}, recipe: program.recipe(), outputs: []string{program.out}}
	for _, c := range components {
		p.outputs = append(p.outputs, root.Program(c))
	}
	p.make = func(ctx context.Context, b *builder) error {
		if err := b.compile(ctx, program); err != nil {
			return err
		}
		for _, c := range components {
			if err := link(filepath.Base(program.out), root.Program(c)); err != nil {
				return err
			}
		}
		return nil
	}
	return p
}

// kubernetesVersion are the linker's flags that tell the components who they
// are. Without them the API server calls itself v0.0.0-master, and kubectl and
// Helm refuse to talk to that.
func kubernetesVersion(version string) []string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var flags []string
	for _, p := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, v := range []string{
			"gitVersion=" + version, "gitMajor=" + major, "gitMinor=" + minor, "gitTreeState=clean",
			"gitCommit=" + strings.Repeat("0", 40), "buildDate=2026-01-01T00:00:00Z",
		} {
			flags = append(flags, "-X", p+"."+v)
		}
	}
	return flags
}

func coreDNS(root layout.Root) Part {
	program := goProgram{folder: "coredns", out: root.Program("coredns")}
	return imagePart("coredns", program, image.Spec{
		Name: layout.CoreDNSImage, User: "65532", Entrypoint: []string{"/coredns"},
		Files: []image.File{{Source: program.out, Path: "/coredns"}},
	}, root)
}

func pause(root layout.Root) Part {
	program := goProgram{folder: "pause", out: root.Program("pause")}
	return imagePart("pause", program, image.Spec{
		Name: layout.PauseImage, User: "65534", Entrypoint: []string{"/pause"},
		Files: []image.File{{Source: program.out, Path: "/pause"}},
	}, root)
}

// imagePart is a program and the image that runs it.
func imagePart(name string, program goProgram, spec image.Spec, root layout.Root) Part {
	return Part{
		Name: name, sources: []string{program.folder, "image"}, recipe: program.recipe() + fmt.Sprint(spec),
		outputs: []string{program.out, root.Image(name)},
		make: func(ctx context.Context, b *builder) error {
			if err := b.compile(ctx, program); err != nil {
				return err
			}
			return image.Write(root.Image(name), spec)
		},
	}
}

// prometheus leaves out all service discovery but that of Kubernetes: the
// others bring the client libraries of every cloud. Like coredns it is kept at the
// product's versions of what both use (k8s.io, gRPC, golang.org/x), and without the
// tag netgo, which says nothing where cgo is off: so Go compiles hundreds of packages
// once for all three.
func prometheus(root layout.Root) Part { return ofPrometheus(root, "prometheus") }

// promtool tests alerts as Prometheus would fire them; no cluster needs it.
func promtool(root layout.Root) Part { return ofPrometheus(root, "promtool") }

// ofPrometheus is one of its programs. They share their versions and their flags, and
// with that most of their packages.
func ofPrometheus(root layout.Root, name string) Part {
	program := goProgram{
		folder: "prometheus", target: "github.com/prometheus/prometheus/cmd/" + name, out: root.Program(name),
		tags:    []string{"remove_all_sd", "enable_kubernetes_sd"},
		ldflags: []string{"-X", "github.com/prometheus/common/version.Version=3.13.0"},
	}
	return Part{
		Name: name, sources: []string{"prometheus"}, recipe: program.recipe(), outputs: []string{program.out},
		make: func(ctx context.Context, b *builder) error { return b.compile(ctx, program) },
	}
}

// link makes or replaces a symbolic link in one step.
func link(target, path string) error {
	if err := os.RemoveAll(path + ".new"); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	if err := os.Symlink(target, path+".new"); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	return nil
}
