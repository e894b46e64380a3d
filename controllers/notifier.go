package controllers

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/notify"
	"github.com/crossfade-dev/crossfade/delivery"
)

// The time between two tries to send a notice grows from the first to the second.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// noticeLife is how long a target may be away before a notice is given up: after
	// that it is no news any more.
	noticeLife = 24 * time.Hour
	// maxSending bounds the tries under way, all Rollouts together.
	maxSending = 16
)

// sender makes one try to tell a target.
type sender interface {
	Send(ctx context.Context, target string, m notify.Message) error
}

// notifier sends the notices that stand in statuses, beside the loop: a target that is
// away must not hold up a rollout. What it knows is only which tries are under way; a
// successor begins from the statuses again, so a target may hear of something twice
// when a controller ends between the target's answer and the write of it.
type notifier struct {
	sender sender
	now    func() time.Time
	*pending[told, delivery.Told]
	// first is firstRetry, but for tests.
	first time.Duration
	slots chan struct{}
}

// told names a notice to one target.
type told struct{ id, target string }

// outbox are the notices of one Rollout.
type outbox = calls[told, delivery.Told]

func newNotifier(s sender, now func() time.Time, wake func(types.NamespacedName)) *notifier {
	about := func(t delivery.Told) told { return told{t.ID, t.Target} }
	return &notifier{sender: s, now: now, pending: newPending(about, wake), first: firstRetry, slots: make(chan struct{}, maxSending)}
}

// send begins to tell what a status says has to be told.
func (n *notifier) send(ctx context.Context, ro *v1alpha1.Rollout, notices []v1alpha1.Notice) {
	for i := range notices {
		for _, target := range notices[i].Pending {
			if of := n.claim(ctx, ro, told{notices[i].ID, target}); of != nil {
				go n.deliver(of, ro, notices[i], target)
			}
		}
	}
}

// deliver tries until the target has taken the notice or it is given up.
func (n *notifier) deliver(of *outbox, ro *v1alpha1.Rollout, notice v1alpha1.Notice, target string) {
	message := notify.Message{
		ID: notice.ID, On: string(notice.On), Namespace: ro.Namespace, Rollout: ro.Name, UID: string(ro.UID),
		Revision: notice.Revision, Stable: notice.Stable, Step: notice.Step, Text: notice.Message, At: notice.At.Time,
	}
	ctx := of.context
	end := delivery.Told{ID: notice.ID, Target: target}
	for wait := n.first; ; wait = min(2*wait, lastRetry) {
		err := n.try(ctx, target, message)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return // Nobody asks any more.
		}
		if errors.Is(err, notify.ErrNoTarget) || n.now().Sub(notice.At.Time) > noticeLife {
			end.Failed = err.Error()
			break
		}
		log.FromContext(ctx).Info("Could not tell a target, trying again", "namespace", ro.Namespace, "rollout", ro.Name, "target", target, "in", wait.String(), "why", err.Error())
		if !pause(ctx, wait) {
			return
		}
	}
	n.keep(of, end)
}

// pause says whether the time went by before ctx ended.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait) //nolint:forbidigo // it spaces tries; nothing is decided by it
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (n *notifier) try(ctx context.Context, target string, m notify.Message) error {
	select {
	case n.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-n.slots }()
	return n.sender.Send(ctx, target, m)
}
