package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/delivery/advice"
)

// adviser asks the rules that need a Rollout alone once for each generation, so that
// an idle pass costs nothing and the condition changes with the spec only.
type adviser struct {
	mu    sync.Mutex
	known map[types.NamespacedName]advised
}

// advised is what is known of one generation.
type advised struct {
	uid        types.UID
	generation int64
	codes      []string
}

func newAdviser() *adviser { return &adviser{known: map[types.NamespacedName]advised{}} }

// codes are those of the rules that have found something in a Rollout's spec.
func (a *adviser) codes(ro *v1alpha1.Rollout) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.known[keyOf(ro)]
	if is.uid != ro.UID || is.generation != ro.Generation {
		is = advised{uid: ro.UID, generation: ro.Generation, codes: advice.Codes(ro)}
		a.known[keyOf(ro)] = is
	}
	return is.codes
}

// forget drops what is known of a Rollout that is gone.
func (a *adviser) forget(key types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, key)
}
