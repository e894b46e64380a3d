package advice

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery"
)

// workloadRules judge the Deployment that a Rollout delivers, and its pods.
var workloadRules = []Rule{
	{
		Code: "XF0201", Name: "DeploymentNotFound", Severity: Error,
		What: "There is no Deployment of the name in workloadRef: nothing is delivered.",
		Mend: "Create it, or correct spec.workloadRef.name.",
		find: deploymentNotFound,
	},
	{
		Code: "XF0202", Name: "NoDeployment", Severity: Error,
		What: "What workloadRef names is a StatefulSet or DaemonSet. Their pods have names, volumes or nodes of their own, so two revisions cannot stand side by side; they are not delivered.",
		Mend: "Deliver a Deployment, or leave it to the kind's own rolling update.",
		find: noDeployment,
	},
	{
		Code: "XF0203", Name: "Recreate", Severity: Error,
		What: "The Deployment's strategy is Recreate: two revisions must not run at once, which is what a rollout does. It is refused with reason RecreateStrategy.",
		Mend: "Set its spec.strategy.type to RollingUpdate, or accept that with spec.allowRecreateStrategy: true in the Rollout.",
		find: recreate,
	},
	{
		Code: "XF0204", Name: "NoHistory", Severity: Error,
		What: "The Deployment's revisionHistoryLimit is 0: there would be nothing to go back to. It is refused with reason HistoryLimitZero.",
		Mend: "Set it to 1 at least.",
		find: noHistory,
	},
	{
		Code: "XF0205", Name: "NoReadinessProbe", Severity: Warning,
		What: "No container of the pods has a readiness probe: a pod counts as ready when its process has started, and gets requests that it cannot answer yet.",
		Mend: "Add a readinessProbe to the container that serves the Service's port.",
		find: noReadinessProbe,
	},
	{
		Code: "XF0206", Name: "NoMinReadySeconds", Severity: Info,
		What: "minReadySeconds is 0: a canary pod counts as available at its first moment of readiness, also one that falls over two seconds later.",
		Mend: "Set the Deployment's minReadySeconds to 5 or more.",
		find: noMinReady,
	},
	{
		Code: "XF0207", Name: "NeverAvailable", Severity: Error,
		What: "A pod cannot be available before progressDeadlineSeconds are over: its readiness probe begins too late, or minReadySeconds is too long. Every canary is rolled back.",
		Mend: "Raise progressDeadlineSeconds over initialDelaySeconds + minReadySeconds and the time that a start takes.",
		find: neverAvailable,
	},
	{
		Code: "XF0208", Name: "ConfigurationOutsideTemplate", Severity: Warning,
		What: "The pods use a ConfigMap or Secret by a name that stays the same when its content changes. Such a change is no new template: it reaches stable and canary alike, without steps or checks, and a rollback does not bring the former content back.",
		Mend: "Make the content part of the template: names with a hash of the content (kustomize's configMapGenerator, an immutable ConfigMap per version), or an annotation of the pod template with its checksum (Helm: checksum/config: {{ include ... | sha256sum }}). A change of configuration is a rollout then.",
		find: configurationOutside,
	},
	{
		Code: "XF0209", Name: "ShortGrace", Severity: Warning,
		What: "terminationGracePeriodSeconds is shorter than what the sidecar and the proxies around need to lead requests elsewhere: requests under way are cut whenever a pod goes.",
		Mend: "Set it to 15 seconds or more (30 is Kubernetes' default).",
		find: shortGrace,
	},
	{
		Code: "XF0210", Name: "SidecarsUser", Severity: Error,
		What: "A container runs as user or group 1337, which is the sidecar's. The pod is refused in a meshed namespace: its connections would pass the mesh by.",
		Mend: "Run it as another user and group.",
		find: sidecarsUser,
	},
	{
		Code: "XF0211", Name: "HostNetwork", Severity: Warning,
		What: "The pods use the host's network: they get no sidecar though their namespace is meshed, and a canary pod finds its ports taken on every node where a stable one runs.",
		Mend: "Leave out hostNetwork.",
		find: hostNetwork,
	},
	{
		Code: "XF0212", Name: "TwoRolloutsOneDeployment", Severity: Error,
		What: "Two Rollouts name the same Deployment: the later one is refused with reason Conflict.",
		Mend: "Delete one of them.",
		find: func(s *scene) {
			s.twice("Deployment", "spec.workloadRef.name", func(ro *v1alpha1.Rollout) string { return ro.Spec.WorkloadRef.Name })
		},
	},
	{
		Code: "XF0213", Name: "ScaledToZero", Severity: Info,
		What: "The Deployment asks for 0 pods: a changed template is held, and waits until it is scaled up.",
		Mend: "Scale it up when the changed template is to be delivered.",
		find: scaledToZero,
	},
	{
		Code: "XF0214", Name: "GlassBroken", Severity: Warning,
		What: "The annotation crossfade.dev/break-glass is still there: changed templates of the Deployment, or pins of the Service, are in nobody's hands, and nothing is delivered step by step.",
		Mend: "Remove the annotation when the emergency is over.",
		find: glassBroken,
	},
	{
		Code: "XF0215", Name: "MovingTag", Severity: Warning,
		What: "An image without a fixed tag: pods of one revision may run different programs, the canary may run what stable runs, and a rollback may bring the bad one back.",
		Mend: "Name the image by a version that never moves, or by its digest.",
		find: movingTag,
	},
	{
		Code: "XF0216", Name: "SharedVolume", Severity: Warning,
		What: "The pods mount a PersistentVolumeClaim for writing: stable and canary write to it at the same time, and one that a single node may mount keeps the canary's pods from starting elsewhere.",
		Mend: "Mount it read-only, keep state outside of the Deployment, or see that both revisions get along.",
		find: sharedVolume,
	},
	{
		Code: "XF0217", Name: "HostPort", Severity: Warning,
		What: "A container takes a port of its node: no canary pod can be placed on a node where a stable one runs.",
		Mend: "Leave out hostPort, or keep as many nodes free as the canary has pods.",
		find: hostPort,
	},
	{
		Code: "XF0218", Name: "LoopbackOnly", Severity: Warning,
		What: "The application seems to listen on 127.0.0.1 only: it answers probes from within the pod, and no request of anybody else.",
		Mend: "Let it listen on all addresses (0.0.0.0 or [::]).",
		find: loopbackOnly,
	},
	{
		Code: "XF0219", Name: "SidecarsPort", Severity: Error,
		What: "A container declares a port that is the sidecar's (15001, 15006, 15021, 15090): the pod is refused in a meshed namespace.",
		Mend: "Use another port.",
		find: sidecarsPort,
	},
}

func deploymentNotFound(s *scene) {
	for _, d := range s.deliveries {
		ref := d.rollout.Spec.WorkloadRef
		if d.deployment == nil && s.whole("Deployment", d.rollout.Namespace) && (ref.Kind == "" || ref.Kind == "Deployment") {
			s.found(RefTo("Rollout", d.rollout), "spec.workloadRef.name", "there is no Deployment %s in namespace %s", ref.Name, d.rollout.Namespace)
		}
	}
}

func noDeployment(s *scene) {
	for _, d := range s.deliveries {
		ref := d.rollout.Spec.WorkloadRef
		for _, w := range s.Workloads {
			wrong := ref.Kind == w.Kind || d.deployment == nil && s.whole("Deployment", d.rollout.Namespace)
			if wrong && w.Namespace == d.rollout.Namespace && w.Name == ref.Name {
				s.found(RefTo("Rollout", d.rollout), "spec.workloadRef", "%s is a %s", w.Name, w.Kind)
			}
		}
	}
}

// deployments calls back for each Deployment that a Rollout delivers.
func (s *scene) deployments(f func(d *delivered, at Ref)) {
	for i := range s.deliveries {
		if d := &s.deliveries[i]; d.deployment != nil {
			f(d, RefTo("Deployment", d.deployment))
		}
	}
}

func recreate(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		if d.deployment.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType && !d.rollout.Spec.AllowRecreateStrategy {
			s.found(at, "spec.strategy.type", "the strategy is Recreate, and Rollout %s does not allow it", d.rollout.Name)
		}
	})
}

func noHistory(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		if n := d.deployment.Spec.RevisionHistoryLimit; n != nil && *n == 0 {
			s.found(at, "spec.revisionHistoryLimit", "no former revision is kept")
		}
	})
}

func noReadinessProbe(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		for _, c := range d.deployment.Spec.Template.Spec.Containers {
			if c.ReadinessProbe != nil {
				return
			}
		}
		s.found(at, "spec.template.spec.containers", "no container has a readinessProbe")
	})
}

func noMinReady(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		if d.deployment.Spec.MinReadySeconds == 0 {
			s.found(at, "spec.minReadySeconds", "a pod that is ready once counts as available")
		}
	})
}

func neverAvailable(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		late := int32(0)
		for _, c := range d.deployment.Spec.Template.Spec.Containers {
			if c.ReadinessProbe != nil {
				late = max(late, c.ReadinessProbe.InitialDelaySeconds)
			}
		}
		late += d.deployment.Spec.MinReadySeconds
		if deadline := int32(delivery.Deadline(d.rollout).Seconds()); late >= deadline {
			s.found(at, "spec.minReadySeconds", "a pod is available after %d s at the earliest, and progressDeadlineSeconds of Rollout %s is %d", late, d.rollout.Name, deadline)
		}
	})
}

// versioned is a name that ends in a hash, a date or a version.
var versioned = regexp.MustCompile(`-(?:[0-9a-z]*[0-9][0-9a-z]*[a-z][0-9a-z]*|[0-9a-z]*[a-z][0-9a-z]*[0-9][0-9a-z]*|[0-9]+)$`)

// hashed says whether a name changes with the content, as far as a name can tell.
func hashed(name string) bool {
	tail := name[strings.LastIndexByte(name, '-')+1:]
	version := regexp.MustCompile(`^v?[0-9]+$`).MatchString(tail)
	return versioned.MatchString(name) && (len(tail) >= 8 || version)
}

// given are what the cluster itself puts into every namespace.
var given = []string{"kube-root-ca.crt", "crossfade-trust"}

func configurationOutside(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		template := &d.deployment.Spec.Template
		for key := range template.Annotations {
			if strings.Contains(key, "checksum") || strings.Contains(key, "hash") {
				return
			}
		}
		var fixed []string
		for _, used := range ConfigurationOf(&template.Spec) {
			if !hashed(used.Name) && !slices.Contains(given, used.Name) && !s.immutable(d.deployment.Namespace, used) {
				fixed = append(fixed, used.Kind+" "+used.Name)
			}
		}
		if len(fixed) > 0 {
			s.found(at, "spec.template", "the pods use %s by a fixed name", strings.Join(fixed, ", "))
		}
	})
}

// immutable says that a ConfigMap is known to be so.
func (s *scene) immutable(namespace string, used Ref) bool {
	return slices.ContainsFunc(s.Immutable, func(r Ref) bool { return r.Kind == used.Kind && r.Namespace == namespace && r.Name == used.Name })
}

// ConfigurationOf are the ConfigMaps and Secrets that pods use, sorted, each once.
func ConfigurationOf(pod *corev1.PodSpec) []Ref {
	var out []Ref
	add := func(kind, name string) {
		if r := (Ref{Kind: kind, Name: name}); name != "" && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for _, v := range pod.Volumes {
		if v.ConfigMap != nil {
			add("ConfigMap", v.ConfigMap.Name)
		}
		if v.Secret != nil {
			add("Secret", v.Secret.SecretName)
		}
		if v.Projected == nil {
			continue
		}
		for _, p := range v.Projected.Sources {
			if p.ConfigMap != nil {
				add("ConfigMap", p.ConfigMap.Name)
			}
			if p.Secret != nil {
				add("Secret", p.Secret.Name)
			}
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		environment(&c, add)
	}
	slices.SortFunc(out, func(a, b Ref) int { return strings.Compare(a.String(), b.String()) })
	return out
}

func environment(c *corev1.Container, add func(kind, name string)) {
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil {
			add("ConfigMap", from.ConfigMapRef.Name)
		}
		if from.SecretRef != nil {
			add("Secret", from.SecretRef.Name)
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
			add("ConfigMap", e.ValueFrom.ConfigMapKeyRef.Name)
		}
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			add("Secret", e.ValueFrom.SecretKeyRef.Name)
		}
	}
}

// shortestGrace leaves the sidecar its drain (5 s, and 2 s to end), and the proxies
// around some time to hear of it.
const shortestGrace = 10

func shortGrace(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		if n := d.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds; n != nil && *n < shortestGrace {
			s.found(at, "spec.template.spec.terminationGracePeriodSeconds", "a pod that goes has %d s", *n)
		}
	})
}

// user is the sidecar's, and its group.
const user = 1337

func sidecarsUser(s *scene) {
	for _, d := range s.Deployments {
		if has, _ := s.sidecar(d); !has {
			continue
		}
		pod := &d.Spec.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			if uid, gid := runsAs(pod, &c); uid == user || gid == user {
				s.found(RefTo("Deployment", d), "spec.template.spec", "container %s runs as user or group %d", c.Name, user)
			}
		}
	}
}

// runsAs is a container's user and group, as far as the manifest says.
func runsAs(pod *corev1.PodSpec, c *corev1.Container) (uid, gid int64) {
	if of := pod.SecurityContext; of != nil {
		uid, gid = value(of.RunAsUser, 0), value(of.RunAsGroup, 0)
	}
	if of := c.SecurityContext; of != nil {
		uid, gid = value(of.RunAsUser, uid), value(of.RunAsGroup, gid)
	}
	return uid, gid
}

func value(n *int64, absent int64) int64 {
	if n == nil {
		return absent
	}
	return *n
}

func hostNetwork(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		if meshed, _ := s.meshed(d.deployment.Namespace); meshed && d.deployment.Spec.Template.Spec.HostNetwork {
			s.found(at, "spec.template.spec.hostNetwork", "the pods get no sidecar")
		}
	})
}

// twice finds Rollouts that name the same thing, at the later of each two.
func (s *scene) twice(kind, field string, name func(*v1alpha1.Rollout) string) {
	for i, ro := range s.Rollouts {
		for j, other := range s.Rollouts {
			later := ro.CreationTimestamp.Compare(other.CreationTimestamp.Time)
			if i == j || ro.Namespace != other.Namespace || name(ro) != name(other) || later < 0 || later == 0 && ro.Name < other.Name {
				continue
			}
			s.found(RefTo("Rollout", ro), field, "Rollout %s names %s %s, too", other.Name, kind, name(ro))
			break
		}
	}
}

func scaledToZero(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		if replicas(d.deployment) == 0 {
			s.found(at, "spec.replicas", "no pod is asked for")
		}
	})
}

func glassBroken(s *scene) {
	for _, d := range s.Deployments {
		if why, broken := d.Annotations[v1alpha1.AnnotationBreakGlass]; broken {
			s.found(RefTo("Deployment", d), "metadata.annotations", "the glass is broken%s", because(why))
		}
	}
	for _, o := range s.Services {
		if why, broken := o.Annotations[v1alpha1.AnnotationBreakGlass]; broken {
			s.found(RefTo("Service", o), "metadata.annotations", "the glass is broken%s", because(why))
		}
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", why)
}

func movingTag(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		for _, c := range slices.Concat(d.deployment.Spec.Template.Spec.InitContainers, d.deployment.Spec.Template.Spec.Containers) {
			_, digest, _ := strings.Cut(c.Image, "@")
			_, tag, _ := strings.Cut(c.Image[strings.LastIndexByte(c.Image, '/')+1:], ":")
			if digest == "" && c.Image != "" && (tag == "" || tag == "latest") {
				s.found(at, "spec.template.spec.containers["+c.Name+"].image", "image %s has no version", c.Image)
			}
		}
	})
}

func sharedVolume(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		pod := &d.deployment.Spec.Template.Spec
		for _, v := range pod.Volumes {
			if v.PersistentVolumeClaim != nil && !v.PersistentVolumeClaim.ReadOnly && written(pod, v.Name) {
				s.found(at, "spec.template.spec.volumes["+v.Name+"]", "all pods of both revisions write to PersistentVolumeClaim %s", v.PersistentVolumeClaim.ClaimName)
			}
		}
	})
}

func written(pod *corev1.PodSpec, volume string) bool {
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, m := range c.VolumeMounts {
			if m.Name == volume && !m.ReadOnly {
				return true
			}
		}
	}
	return false
}

func hostPort(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		for _, c := range d.deployment.Spec.Template.Spec.Containers {
			for _, p := range c.Ports {
				if p.HostPort != 0 {
					s.found(at, "spec.template.spec.containers["+c.Name+"].ports", "container %s takes port %d of its node", c.Name, p.HostPort)
				}
			}
		}
	})
}

// loopbackOnly goes by what a manifest shows: a probe that asks the loopback
// address, or an argument or variable that names it with a declared port.
func loopbackOnly(s *scene) {
	s.deployments(func(d *delivered, at Ref) {
		for _, c := range d.deployment.Spec.Template.Spec.Containers {
			words := slices.Concat(c.Command, c.Args)
			for _, e := range c.Env {
				words = append(words, e.Value)
			}
			for _, p := range c.Ports {
				for _, host := range []string{"127.0.0.1", "localhost", "[::1]"} {
					address := fmt.Sprintf("%s:%d", host, p.ContainerPort)
					if slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, address) && !strings.Contains(w, "//") }) {
						s.found(at, "spec.template.spec.containers["+c.Name+"]", "container %s is told to listen on %s", c.Name, address)
					}
				}
			}
		}
	})
}

// ports are what the sidecar listens on.
var ports = []int32{15001, 15006, 15021, 15090}

func sidecarsPort(s *scene) {
	for _, d := range s.Deployments {
		if has, _ := s.sidecar(d); !has {
			continue
		}
		for _, c := range d.Spec.Template.Spec.Containers {
			for _, p := range c.Ports {
				if slices.Contains(ports, p.ContainerPort) {
					s.found(RefTo("Deployment", d), "spec.template.spec.containers["+c.Name+"].ports", "container %s declares port %d", c.Name, p.ContainerPort)
				}
			}
		}
	}
}
