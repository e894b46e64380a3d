package live

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// beat is how often a pulse writes: what a time it gives may be too early by.
const beat = 100 * time.Millisecond

// Pulse renews a Lease again and again. The API server numbers all writes in one order, so the number of any
// object's version tells which beats were written before it. On a machine with more to do than it can, this program
// sees a write long after it was made; the pulse says since when it can have been there.
type Pulse struct {
	mu    sync.Mutex
	beats []written
}

// written is one beat: its number, and a time before it was written.
type written struct {
	version uint64
	asked   time.Time
}

// StartPulse writes until ctx ends. It fails when the first beat cannot be written; later ones may.
func StartPulse(ctx context.Context, c client.Client, key types.NamespacedName) (*Pulse, error) {
	p := &Pulse{}
	if err := p.write(ctx, c, key); err != nil {
		return nil, fmt.Errorf("write Lease %s: %w", key, err)
	}
	go func() {
		for ctx.Err() == nil {
			pause(ctx, beat)
			_ = p.write(ctx, c, key) // A beat that is missing makes times earlier, never wrong.
		}
	}()
	return p, nil
}

func (p *Pulse) write(ctx context.Context, c client.Client, key types.NamespacedName) error {
	asked := time.Now()
	at := metav1.NewMicroTime(asked)
	o := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	patch := fmt.Sprintf(`{"spec":{"renewTime":%q}}`, at.UTC().Format(metav1.RFC3339Micro))
	err := c.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(patch)))
	if apierrors.IsNotFound(err) {
		o.Spec.RenewTime = &at
		err = c.Create(ctx, o)
	}
	if err != nil {
		return err
	}
	version, err := strconv.ParseUint(o.ResourceVersion, 10, 64)
	if err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beats = append(p.beats, written{version: version, asked: asked})
	return nil
}

// NotBefore is a time before a version of any object was written; the zero time when no beat came before it, or when
// the version is no number.
func (p *Pulse) NotBefore(version string) time.Time {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.beats) - 1; i >= 0; i-- {
		if p.beats[i].version < n {
			return p.beats[i].asked
		}
	}
	return time.Time{}
}
