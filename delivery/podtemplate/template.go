// Package podtemplate names pod templates: whoever asks whether two of them are one
// revision, the controller or the kubectl plugin, must get the same answer.
package podtemplate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
)

// The templates of workloads are compared as the API server serves them, never
// through typed structs: a client older than the cluster would drop a field it
// does not know, and two different templates would look equal.

// Hash names a pod template in a normal form: without the label
// pod-template-hash and the creation timestamp, and with nil and empty values
// equal, as the Deployment controller compares templates itself.
func Hash(template map[string]any) (string, error) {
	return digest(prune(Bare(template)))
}

// CanaryHash is the pod-template-hash of a canary made from the template: "x"
// and ten hex digits. The Deployment controller's own hashes have no "x" and no
// digits 0 and 1, so the two can never meet; the name that follows from it makes
// the create idempotent.
func CanaryHash(template map[string]any) (string, error) {
	sum, err := digest(Bare(template))
	if err != nil {
		return "", err
	}
	return "x" + sum[:10], nil
}

// Bare is the template without what a ReplicaSet adds to it.
func Bare(template map[string]any) map[string]any {
	out := maps.Clone(template)
	meta, _ := out["metadata"].(map[string]any)
	if meta == nil {
		return out
	}
	meta = maps.Clone(meta)
	delete(meta, "creationTimestamp")
	if labels, _ := meta["labels"].(map[string]any); labels != nil {
		labels = maps.Clone(labels)
		delete(labels, appsv1.DefaultDeploymentUniqueLabelKey)
		meta["labels"] = labels
	}
	out["metadata"] = meta
	return out
}

// prune drops nil and empty members, all the way down.
func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, member := range v {
			if kept := prune(member); !empty(kept) {
				out[key] = kept
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, member := range v {
			out[i] = prune(member)
		}
		return out
	default:
		return value
	}
}

func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

func digest(value any) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("encode pod template: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:40], nil
}
