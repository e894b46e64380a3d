//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (s *scene) deployment() *appsv1.Deployment {
	s.Helper()
	var d appsv1.Deployment
	if err := s.api.Get(s.ctx, s.key(), &d); err != nil {
		s.Fatal(err)
	}
	return &d
}

// pods are the UIDs and restarts of the application's pods that are not on their way out, by revision.
func (s *scene) pods() map[string]map[types.UID]int32 {
	s.Helper()
	var list corev1.PodList
	if err := s.api.List(s.ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{"app": name}); err != nil {
		s.Fatal(err)
	}
	pods := map[string]map[types.UID]int32{}
	for _, p := range list.Items {
		if p.DeletionTimestamp != nil {
			continue
		}
		revision := p.Labels["pod-template-hash"]
		if pods[revision] == nil {
			pods[revision] = map[types.UID]int32{}
		}
		for _, c := range p.Status.ContainerStatuses {
			pods[revision][p.UID] += c.RestartCount
		}
	}
	return pods
}

// samePods fails when a revision's pods are not the very same any more.
func (s *scene) samePods(what string, before, after map[string]map[types.UID]int32) {
	s.Helper()
	for revision, pods := range before {
		for uid, restarts := range pods {
			if now, there := after[revision][uid]; !there || now != restarts {
				s.Errorf("%s restarted pods of revision %s: before %v, after %v", what, revision, pods, after[revision])
				return
			}
		}
	}
}

// only returns the pods of one revision.
func only(pods map[string]map[types.UID]int32, revision string) map[string]map[types.UID]int32 {
	return map[string]map[types.UID]int32{revision: pods[revision]}
}

// noPods waits until all pods of a revision are on their way out at least: the ReplicaSet's controller may be late.
func (s *scene) noPods(revision string) {
	s.Helper()
	s.until("no pod of revision "+revision+" is left", func() (string, bool) {
		pods := s.pods()
		return fmt.Sprint(pods), len(pods[revision]) == 0
	})
}

// gone waits until a revision has no pods.
func (s *scene) gone(revision string) {
	s.Helper()
	s.kubectl("wait", "pod", "-l", "app="+name+",pod-template-hash="+revision, "--for=delete", patiently)
}

// gateways are the gateway's ready pods.
func (s *scene) gateways() []corev1.Pod {
	s.Helper()
	var list corev1.PodList
	if err := s.api.List(s.ctx, &list, client.InNamespace(system), client.MatchingLabels{"crossfade.dev/proxy": "gateway"}); err != nil {
		s.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// processes finds a pod's processes on this machine by their program. The pod's UID is in their cgroup's name.
func processes(t *testing.T, uid, program string) []int {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, folder := range folders {
		// A process may end while it is looked at.
		group, err := os.ReadFile(filepath.Join(folder, "cgroup"))
		if err != nil || !bytes.Contains(group, []byte(uid)) {
			continue
		}
		command, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err != nil || !strings.HasPrefix(string(command), program) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil {
			found = append(found, pid)
		}
	}
	return found
}
