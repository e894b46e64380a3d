package inject

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWorkload(t *testing.T) {
	yes := true
	cases := map[string]struct {
		reason, kind, owner, hash, want string
	}{
		"Deployment":        {kind: "ReplicaSet", owner: "web-api-6d7bd6989", hash: "6d7bd6989", want: "web-api"},
		"canary":            {reason: "of the same Deployment", kind: "ReplicaSet", owner: "web-api-x78bd5d695", hash: "x78bd5d695", want: "web-api"},
		"own ReplicaSet":    {reason: "nobody's", kind: "ReplicaSet", owner: "web", want: "web"},
		"StatefulSet":       {kind: "StatefulSet", owner: "db", hash: "", want: "db"},
		"CronJob":           {reason: "each run has another name", kind: "Job", owner: "backup-29384740", want: "backup"},
		"Job":               {kind: "Job", owner: "migrate-3", want: "migrate-3"},
		"Job with a letter": {kind: "Job", owner: "migrate-2938474x0", want: "migrate-2938474x0"},
		"bare pod":          {want: "me"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{}
			pod.Name, pod.Labels = "me", map[string]string{"pod-template-hash": tc.hash}
			if tc.kind != "" {
				pod.OwnerReferences = []metav1.OwnerReference{{Kind: tc.kind, Name: tc.owner, Controller: &yes}}
			}
			if got := workloadOf(pod); got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}
