//go:build e2e

package e2e

import (
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/e2e/live"
)

// A Deployment with an autoscaler goes through a whole delivery while its load grows: mid-way from 2 pods to 4, of
// stable and canary alike, and when the pods of before, idle and still counted, hide how loaded the others are.
// Those go a quarter at a time, with time for the autoscaler to look between two steps.
func autoscaled(t *testing.T, u *usage) {
	s := begin(t, setup{Replicas: 2, Steps: []step{{50, "endless"}}})
	stable := s.rollout.Last().Object.Status.Stable.Revision
	old := follow[appsv1.ReplicaSet](s, "ReplicaSet", name+"-"+stable)
	deployment := follow[appsv1.Deployment](s, "Deployment", name)
	f := s.load()
	s.autoscale(u, 200)
	canary := s.change("v2")
	serving := follow[appsv1.ReplicaSet](s, "ReplicaSet", name+"-"+canary)
	s.atWeight(canary, 50)
	u.set(s.Namespace, s.demand(400))
	s.await("has 4 stable and 2 canary pods ready", func(r live.Rollout) bool {
		return r.Status.Stable.Ready == 4 && r.Status.Stable.Replicas == 4 && r.Status.Canary.Ready == 2
	})
	s.promote(canary)
	s.atWeight(canary, 100)
	// 8 pods at their target on average, as long as those of before are counted.
	u.set(s.Namespace, s.demand(800))
	s.awaitFor(2*patience, "is promoted", func(r live.Rollout) bool { return r.Healthy() && r.Status.Stable.Revision == canary })
	f.judge(map[string]string{canary: "v2"})
	if n := len(s.pods()[canary]); n != 8 {
		t.Errorf("twice the load needs 8 pods, there are %d", n)
	}
	s.judgeSteps(old.States(), serving.States(), deployment.States())
}

// judgeSteps looks at how the pods of the revision of before went, while others served. What was first is told by
// the versions of the objects: on a busy machine the news of one comes seconds after that of another.
func (s *scene) judgeSteps(old, serving []live.Seen[appsv1.ReplicaSet], deployment []live.Seen[appsv1.Deployment]) {
	s.Helper()
	// The time between two writes, which is kept in whole seconds.
	const apart = 30*time.Second - time.Second
	var last time.Time
	steps := 0
	for i := 1; i < len(old); i++ {
		if old[i].Gone || old[i-1].Gone {
			continue
		}
		from, to := *old[i-1].Object.Spec.Replicas, *old[i].Object.Spec.Replicas
		if to >= from {
			continue
		}
		steps++
		at := s.scaledAt(&old[i].Object)
		d, stable := before(s, deployment, old[i].Version), before(s, serving, old[i].Version)
		n, available := *d.Spec.Replicas, stable.Status.AvailableReplicas
		s.Logf("step %d at %s: %d to %d pods of before; %d of %d serving pods are available", steps, at.Format("15:04:05"), from, to, available, n)
		if from-to > (n+3)/4 {
			s.Errorf("step %d took %d of %d pods of before at once: at most a quarter of %d may go", steps, from-to, from, n)
		}
		if available < n {
			s.Errorf("step %d went while %d of %d serving pods were available", steps, available, n)
		}
		if !last.IsZero() && at.Sub(last) < apart {
			s.Errorf("step %d came %s after the one before: an autoscaler that looks each 15 s has not seen the load move", steps, at.Sub(last))
		}
		if steps == 2 && n != 8 {
			s.Errorf("at step 2 the Deployment has %d replicas: the autoscaler has to have seen by then that it needs 8", n)
		}
		last = at
	}
	if steps < 3 {
		s.Errorf("the pods of before went in %d steps: the autoscaler had no time to look", steps)
	}
}

// scaledAt is when the controller wrote a ReplicaSet last.
func (s *scene) scaledAt(r *appsv1.ReplicaSet) time.Time {
	s.Helper()
	for _, entry := range r.ManagedFields {
		if entry.Manager == "crossfade" && entry.Subresource == "" && entry.Time != nil {
			return entry.Time.Time
		}
	}
	s.Fatalf("ReplicaSet %s was not written by the controller: %v", r.Name, r.ManagedFields)
	return time.Time{}
}

// before is an object's last state that is older than a version: the API server counts all objects' versions up
// together.
func before[T any](s *scene, states []live.Seen[T], version string) T {
	s.Helper()
	limit := s.number(version)
	var last T
	for _, seen := range states {
		if !seen.Gone && s.number(seen.Version) < limit {
			last = seen.Object
		}
	}
	return last
}

func (s *scene) number(version string) uint64 {
	s.Helper()
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// Canary pods that never get ready do not blind the autoscaler, which takes them for idle: there is only one until
// one is ready, and none when its time is over.
func autoscaledUnready(t *testing.T, u *usage) {
	s := begin(t, setup{Steps: []step{{90, "endless"}}, Deadline: 45})
	f := s.load()
	s.autoscale(u, 400)
	canary := s.changed(func() {
		s.kubectl("patch", "deployment", name, "-p",
			`{"spec":{"template":{"spec":{"containers":[{"name":"payments","readinessProbe":{"httpGet":{"port":9}}}]}}}}`)
	})
	replicas := follow[appsv1.ReplicaSet](s, "ReplicaSet", name+"-"+canary)
	s.await("has a canary pod", func(r live.Rollout) bool { return r.Status.Canary.Replicas > 0 })
	// Stable is at 180 % of its target.
	u.set(s.Namespace, s.demand(720))
	s.await("has 8 stable pods ready", func(r live.Rollout) bool { return r.Status.Stable.Ready == 8 })
	r := s.rolledBack("available")
	for _, seen := range replicas.States() {
		if !seen.Gone && *seen.Object.Spec.Replicas > 1 {
			t.Errorf("%d canary pods were asked for while none was ready", *seen.Object.Spec.Replicas)
			break
		}
	}
	s.gone(canary)
	if r.Status.Stable.Ready != 8 {
		t.Errorf("stable has to keep its 8 pods: %v", r)
	}
	if counts := f.judge(nil); len(counts.Versions) != 1 {
		t.Errorf("only stable may answer: %v", counts)
	}
}

// autoscale lets an autoscaler scale the application to 100 millicores a pod.
func (s *scene) autoscale(u *usage, millicores int64) {
	s.Helper()
	u.set(s.Namespace, s.demand(millicores))
	s.apply("autoscaler.yaml")
	s.kubectl("wait", "hpa/"+name, "--for=condition=ScalingActive", patiently)
}

// demand is what the application's requests take, shared by the revisions as the confirmed weight says.
func (s *scene) demand(millicores int64) demand {
	return func(revision string) int64 {
		now := s.rollout.Last().Object.Status
		share := int64(now.Weight.Acked)
		switch {
		case now.Canary.Revision == "":
			share = 0
		case revision == now.Canary.Revision:
			return millicores * share / 100
		}
		if revision != now.Stable.Revision {
			return 0
		}
		return millicores * (100 - share) / 100
	}
}

// follow follows a workload in the scene's namespace.
func follow[T any](s *scene, kind, object string) *live.Follower[T] {
	return live.Follow[T](s.ctx, s.api, schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind}, types.NamespacedName{Namespace: s.Namespace, Name: object})
}
