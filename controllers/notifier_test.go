package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/controllers/notify"
	"github.com/crossfade-dev/crossfade/delivery"
)

// fakeSender answers its calls with errors in turn, then with nil.
type fakeSender struct{ errs, calls chan error }

func (f *fakeSender) Send(context.Context, string, notify.Message) error {
	var err error
	select {
	case err = <-f.errs:
	default:
	}
	f.calls <- err
	return err
}

func notifying(t *testing.T, now time.Time, errs ...error) (*notifier, *fakeSender, chan types.NamespacedName) {
	t.Helper()
	f := &fakeSender{errs: make(chan error, len(errs)), calls: make(chan error, 9)}
	for _, err := range errs {
		f.errs <- err
	}
	woken := make(chan types.NamespacedName, 9)
	n := newNotifier(f, func() time.Time { return now }, func(key types.NamespacedName) { woken <- key })
	n.first = time.Millisecond
	return n, f, woken
}

var noticed = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func rolloutWithNotice() (*v1alpha1.Rollout, []v1alpha1.Notice) {
	ro := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments", UID: "u1"}}
	return ro, []v1alpha1.Notice{{ID: "1", On: v1alpha1.HappeningPromoted, At: metav1.NewMicroTime(noticed), Pending: []string{"team"}}}
}

func TestNotifierTriesAgainAndTellsOnce(t *testing.T) {
	n, f, woken := notifying(t, noticed, errors.New("away"), errors.New("still away"))
	ro, notices := rolloutWithNotice()
	n.send(t.Context(), ro, notices)
	n.send(t.Context(), ro, notices) // The next pass, before the target has answered.
	<-woken
	if len(f.calls) != 3 {
		t.Errorf("%d tries, want two that fail and one that does not", len(f.calls))
	}
	want := []delivery.Told{{ID: "1", Target: "team"}}
	if d := cmp.Diff(want, n.answered(ro)); d != "" {
		t.Errorf("told: -want +got\n%s", d)
	}
	n.send(t.Context(), ro, notices) // A conflict: the status still says pending.
	if len(f.calls) != 3 {
		t.Error("a target that has heard was told again before the status said so")
	}
	n.seen(ro, want)
	if len(n.rollouts) != 0 {
		t.Errorf("kept after everybody was told: %v", n.rollouts)
	}
}

func TestNotifierGivesUp(t *testing.T) {
	for name, tc := range map[string]struct {
		now time.Time
		err error
	}{
		"no such target": {noticed, notify.ErrNoTarget},
		"too old":        {noticed.Add(noticeLife + time.Second), errors.New("away")},
	} {
		t.Run(name, func(t *testing.T) {
			n, f, woken := notifying(t, tc.now, tc.err)
			ro, notices := rolloutWithNotice()
			n.send(t.Context(), ro, notices)
			<-woken
			want := []delivery.Told{{ID: "1", Target: "team", Failed: tc.err.Error()}}
			if d := cmp.Diff(want, n.answered(ro)); d != "" || len(f.calls) != 1 {
				t.Errorf("%d tries; told: -want +got\n%s", len(f.calls), d)
			}
		})
	}
}

// hangingSender says that it was asked, and that nobody waits for it any more.
type hangingSender struct{ asked, ended chan struct{} }

func (h hangingSender) Send(ctx context.Context, _ string, _ notify.Message) error {
	h.asked <- struct{}{}
	<-ctx.Done()
	h.ended <- struct{}{}
	return ctx.Err()
}

// TestNotifierForgets: for a Rollout that is gone nobody tries for a day.
func TestNotifierForgets(t *testing.T) {
	h := hangingSender{make(chan struct{}, 9), make(chan struct{}, 9)}
	n := newNotifier(h, time.Now, func(types.NamespacedName) { t.Error("a Rollout that is gone is woken") })
	ro, notices := rolloutWithNotice()
	n.send(t.Context(), ro, notices)
	<-h.asked
	n.forget(keyOf(ro))
	<-h.ended
	waitUntil(t, "the try gives its place back", func() bool { return len(n.slots) == 0 })
	if len(h.asked) > 0 || len(n.rollouts) > 0 {
		t.Errorf("it went on: %v", n.rollouts)
	}
}
