// Package live follows objects of a cluster and remembers each state that it saw, with its time. A state that
// lasted only a moment can so be waited for and judged afterwards, and nothing has to be asked again and again.
package live

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Seen is one state of an object.
type Seen[T any] struct {
	// At is when it was seen here: after it was written, and long after on a busy machine.
	At time.Time
	// Version is its resourceVersion; of an object that is Gone that of its deletion, empty when nobody saw that.
	Version string
	// Object is the state; the zero value when Gone.
	Object T
	// Gone says that there was no such object.
	Gone bool
}

// Follower follows one object.
type Follower[T any] struct {
	kind schema.GroupVersionKind
	key  types.NamespacedName

	mu      sync.Mutex
	changed chan struct{}
	states  []Seen[T]
	cursor  int
	version string
	trouble error
}

// Follow follows an object until ctx ends. T is what is read of it, with JSON tags.
func Follow[T any](ctx context.Context, c client.WithWatch, kind schema.GroupVersionKind, key types.NamespacedName) *Follower[T] {
	f := &Follower[T]{kind: kind, key: key, changed: make(chan struct{})}
	go func() {
		for ctx.Err() == nil {
			err := f.round(ctx, c)
			f.mu.Lock()
			f.trouble = err
			f.mu.Unlock()
			if err != nil {
				// The API server is away or the kind unknown: not the business of whoever waits for a state.
				pause(ctx, 200*time.Millisecond)
			}
		}
	}()
	return f
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// round lists once, then watches until the watch ends.
func (f *Follower[T]) round(ctx context.Context, c client.WithWatch) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(f.kind)
	only := []client.ListOption{
		client.InNamespace(f.key.Namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", f.key.Name)},
	}
	if err := c.List(ctx, list, only...); err != nil {
		return fmt.Errorf("list %s %s: %w", f.kind.Kind, f.key, err)
	}
	if len(list.Items) == 0 {
		f.gone("")
	}
	for i := range list.Items {
		if err := f.saw(&list.Items[i]); err != nil {
			return err
		}
	}
	from := &unstructured.UnstructuredList{}
	from.SetGroupVersionKind(f.kind)
	w, err := c.Watch(ctx, from, append(only, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})...)
	if err != nil {
		return fmt.Errorf("watch %s %s: %w", f.kind.Kind, f.key, err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		o, is := event.Object.(*unstructured.Unstructured)
		switch {
		case is && event.Type == watch.Deleted:
			f.gone(o.GetResourceVersion())
		case is && (event.Type == watch.Added || event.Type == watch.Modified):
			if err := f.saw(o); err != nil {
				return err
			}
		case event.Type == watch.Error:
			return nil // too old a version, as after a restart of the API server: list again
		}
	}
	return nil
}

func (f *Follower[T]) saw(o *unstructured.Unstructured) error {
	var object T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &object); err != nil {
		return fmt.Errorf("read %s %s: %w", f.kind.Kind, f.key, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.GetResourceVersion() == f.version {
		return nil
	}
	f.version = o.GetResourceVersion()
	f.append(Seen[T]{At: time.Now(), Version: f.version, Object: object})
	return nil
}

func (f *Follower[T]) gone(version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.states); n > 0 && f.states[n-1].Gone {
		return
	}
	f.version = ""
	f.append(Seen[T]{At: time.Now(), Version: version, Gone: true})
}

// append adds a state; the lock is held.
func (f *Follower[T]) append(s Seen[T]) {
	f.states = append(f.states, s)
	close(f.changed)
	f.changed = make(chan struct{})
}

// Skip forgets for Await what was seen so far, but for the last state.
func (f *Follower[T]) Skip() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = max(len(f.states)-1, 0)
}

// SkipAll forgets the last state, too: only what is seen from now on counts for Await.
func (f *Follower[T]) SkipAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = len(f.states)
}

// Await waits for a state, the first one since the last that was waited for (that one included), and returns it.
// When ctx ends before, the error says what was waited for and what was seen last.
func (f *Follower[T]) Await(ctx context.Context, what string, is func(Seen[T]) bool) (Seen[T], error) {
	for {
		f.mu.Lock()
		for ; f.cursor < len(f.states); f.cursor++ {
			if is(f.states[f.cursor]) {
				found := f.states[f.cursor]
				f.mu.Unlock()
				return found, nil
			}
		}
		changed, last, trouble := f.changed, "nothing", f.trouble
		if n := len(f.states); n > 0 {
			last = describe(f.states[n-1])
		}
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			err := fmt.Errorf("wait until %s %s %s: seen last: %s: %w", f.kind.Kind, f.key, what, last, context.Cause(ctx))
			if trouble != nil {
				err = fmt.Errorf("%w (%w)", err, trouble)
			}
			return Seen[T]{}, err
		}
	}
}

func describe[T any](s Seen[T]) string {
	if s.Gone {
		return "gone"
	}
	if text, is := any(s.Object).(fmt.Stringer); is {
		return text.String()
	}
	return fmt.Sprintf("%+v", s.Object)
}

// States are all states that were seen, oldest first.
func (f *Follower[T]) States() []Seen[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Seen[T](nil), f.states...)
}

// Last is the state that was seen last; Gone when none was.
func (f *Follower[T]) Last() Seen[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.states); n > 0 {
		return f.states[n-1]
	}
	return Seen[T]{Gone: true}
}
