package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// perGeneration works something out of the spec of each generation of a Rollout, once:
// an idle pass costs nothing then, and what follows changes with the spec only.
type perGeneration[T any] struct {
	work func(*v1alpha1.Rollout) T

	mu    sync.Mutex
	known map[types.NamespacedName]ofGeneration[T]
}

// ofGeneration is what is known of one generation.
type ofGeneration[T any] struct {
	uid        types.UID
	generation int64
	value      T
}

func newPerGeneration[T any](work func(*v1alpha1.Rollout) T) *perGeneration[T] {
	return &perGeneration[T]{work: work, known: map[types.NamespacedName]ofGeneration[T]{}}
}

// of is what follows from a Rollout's spec.
func (g *perGeneration[T]) of(ro *v1alpha1.Rollout) T {
	g.mu.Lock()
	defer g.mu.Unlock()
	is, known := g.known[keyOf(ro)]
	if !known || is.uid != ro.UID || is.generation != ro.Generation {
		is = ofGeneration[T]{ro.UID, ro.Generation, g.work(ro)}
		g.known[keyOf(ro)] = is
	}
	return is.value
}

// forget drops what is known of a Rollout that is gone.
func (g *perGeneration[T]) forget(key types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.known, key)
}
