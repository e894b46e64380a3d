package inject

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/crossfade-dev/crossfade/proxy/intercept"
	"github.com/crossfade-dev/crossfade/proxy/probe"
)

// Volumes and where they are mounted.
const (
	volumeTLS   = "crossfade-tls"
	volumeToken = "crossfade-token"
	volumeTmp   = "crossfade-tmp"
	volumeEmpty = "crossfade-empty"

	pathTLS   = "/var/run/crossfade/tls"
	pathToken = "/var/run/crossfade/token"
	// pathAPIToken is where the API server mounts a token for itself into every
	// container that has nothing there.
	pathAPIToken = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// Trust is the ConfigMap with the mesh's roots that every meshed namespace has,
// TrustKey its key.
const (
	Trust    = "crossfade-trust"
	TrustKey = "root.pem"
)

func ours(volume string) bool {
	return slices.Contains([]string{volumeTLS, volumeToken, volumeTmp, volumeEmpty}, volume)
}

func pointer[T any](v T) *T { return &v }

// volumes are what the sidecar mounts. The keys and the bootstrap live in
// memory: nothing secret reaches a disk.
func volumes() []corev1.Volume {
	memory := func(name, limit string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
			Medium: corev1.StorageMediumMemory, SizeLimit: pointer(resource.MustParse(limit)),
		}}}
	}
	return []corev1.Volume{
		memory(volumeTLS, "1Mi"),
		memory(volumeTmp, "16Mi"),
		{Name: volumeToken, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			DefaultMode: pointer(corev1.ProjectedVolumeSourceDefaultMode),
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "crossfade", ExpirationSeconds: pointer[int64](3600), Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{
					LocalObjectReference: corev1.LocalObjectReference{Name: Trust},
					Items:                []corev1.KeyToPath{{Key: TrustKey, Path: TrustKey}},
				}},
			},
		}}},
		{Name: volumeEmpty, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: pointer(resource.MustParse("1Mi"))}}},
	}
}

// withoutAPIToken keeps the API server's token out of a container: what it would
// be mounted on is taken.
func withoutAPIToken() corev1.VolumeMount {
	return corev1.VolumeMount{Name: volumeEmpty, MountPath: pathAPIToken, ReadOnly: true}
}

// initContainer leads the pod's connections to the proxy, and ends. It needs
// root, because a capability only reaches a process of another user through a
// file's, and NET_ADMIN, which is what writing the rules takes.
func initContainer(o Options, s settings) corev1.Container {
	args := []string{"init"}
	args = appendList(args, "--exclude-inbound-ports", s.excluded.InboundPorts, portText)
	args = appendList(args, "--exclude-outbound-ports", s.excluded.OutboundPorts, portText)
	args = appendList(args, "--exclude-inbound-cidrs", s.excluded.InboundCIDRs, netip.Prefix.String)
	args = appendList(args, "--exclude-outbound-cidrs", s.excluded.OutboundCIDRs, netip.Prefix.String)
	return corev1.Container{
		Name: InitContainer, Image: o.Image, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
		// The same as the proxy's: it ends before the proxy starts, so it costs
		// nothing more, and a Guaranteed pod can stay one.
		Resources:       s.resources,
		VolumeMounts:    []corev1.VolumeMount{withoutAPIToken()},
		SecurityContext: security(0, "NET_ADMIN"),
	}
}

func portText(p uint16) string { return strconv.Itoa(int(p)) }

func appendList[T any](args []string, flag string, values []T, text func(T) string) []string {
	if len(values) == 0 {
		return args
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = text(v)
	}
	return append(args, flag+"="+strings.Join(texts, ","))
}

// security is all that a container may not do, but for the capabilities named.
func security(user int64, add ...corev1.Capability) *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsUser: pointer(user), RunAsGroup: pointer(user), RunAsNonRoot: pointer(user != 0),
		Privileged: pointer(false), AllowPrivilegeEscalation: pointer(false), ReadOnlyRootFilesystem: pointer(true),
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: add},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// ListenerDrain is how long the connections stay open that a policy closes or judges
// anew: until then requests that were on their way end in peace, and streams with them.
// It is twice the time that pods have by default to finish when they are replaced, so
// that what this cuts off is cut off by every rolling update, too. It is no longer
// because it is also how long a stranger's connection outlives the rule against it.
const ListenerDrain = time.Minute

// proxyContainer is the native sidecar. The kubelet tells it to stop when the
// pod's own containers have ended, so it has nothing to wait for then but what
// is still on its way out.
func proxyContainer(o Options, s settings, table probe.Table) (corev1.Container, error) {
	always := corev1.ContainerRestartPolicyAlways
	ready := func(period, failures, timeout int32) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(intercept.ReadyPort), Scheme: corev1.URISchemeHTTP}},
			PeriodSeconds: period, FailureThreshold: failures, SuccessThreshold: 1, TimeoutSeconds: timeout,
		}
	}
	c := corev1.Container{
		Name: ProxyContainer, Image: o.Image, ImagePullPolicy: corev1.PullIfNotPresent, RestartPolicy: &always,
		Args: []string{
			"agent",
			"--xds=" + o.XDS,
			"--certificates=" + o.Certificates,
			"--cluster=sidecar/$(POD_NAMESPACE)",
			"--node=$(POD_NAMESPACE)/$(POD_NAME)",
			fmt.Sprintf("--concurrency=%d", s.concurrency()),
			"--settle=0s", fmt.Sprintf("--drain-time=%s", ListenerDrain), "--drain-at-once", "--drain=5s", "--quit=2s",
		},
		Env: []corev1.EnvVar{fromPod("POD_NAME", "metadata.name"), fromPod("POD_NAMESPACE", "metadata.namespace"), fromPod("POD_IP", "status.podIP")},
		Ports: []corev1.ContainerPort{
			{Name: "crossfade-ready", ContainerPort: intercept.ReadyPort, Protocol: corev1.ProtocolTCP},
			{Name: "crossfade-stats", ContainerPort: intercept.StatsPort, Protocol: corev1.ProtocolTCP},
		},
		// The pod's next containers wait for the startup probe: as long as the
		// controller is away no new pod can do without what only it knows.
		StartupProbe:   ready(1, 600, 2),
		ReadinessProbe: ready(5, 2, 3),
		Resources:      s.resources,
		VolumeMounts: []corev1.VolumeMount{
			{Name: volumeTLS, MountPath: pathTLS},
			{Name: volumeToken, MountPath: pathToken, ReadOnly: true},
			{Name: volumeTmp, MountPath: "/tmp"},
			withoutAPIToken(),
		},
		SecurityContext: security(intercept.UID),
	}
	for _, name := range [][2]string{{"--workload=", s.workload}, {"--revision=", s.revision}} {
		if name[1] != "" {
			c.Args = append(c.Args, name[0]+name[1])
		}
	}
	return c, setProbes(&c, table)
}

func fromPod(name, field string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: field}}}
}
