// Package live shows one Rollout while it moves: a screen with progress bars in a
// terminal, a line per change anywhere else.
package live

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

const (
	// lookTime bounds one look, lookEvery is how often is looked when nothing wakes us.
	lookTime  = 10 * time.Second
	lookEvery = 3 * time.Second
	// drawEvery lets clocks on the screen run.
	drawEvery = time.Second
	// keptChanges bounds what a screen could ever show.
	keptChanges = 200
)

type watch struct {
	*session.Session
	client          dynamic.Interface
	namespace, name string
	terminal        bool
	view            view
	said            string
}

// Watch is `kubectl crossfade watch`.
func Watch(s *session.Session) *cobra.Command {
	w := &watch{Session: s}
	c := &cobra.Command{
		Use:   "watch NAME",
		Short: "Show one Rollout live: a screen in a terminal, a line per change elsewhere",
		Long: "Show one Rollout live: a screen with progress bars in a terminal, a line per change anywhere else.\n" +
			"It goes on until it is interrupted; what ends by itself is kubectl crossfade wait.",
		Args:              session.OneName,
		ValidArgsFunction: s.CompleteRollouts,
		RunE:              func(c *cobra.Command, args []string) error { return w.run(c.Context(), args[0]) },
	}
	return c
}

func (w *watch) run(ctx context.Context, name string) (err error) {
	w.name, w.terminal = name, session.Terminal(w.Out)
	if w.client, err = w.Client(); err != nil {
		return err
	}
	if w.namespace, err = w.Namespace(); err != nil {
		return err
	}
	// The first look tells a name that is wrong from a cluster that is away for a while.
	if err := w.look(ctx); err != nil {
		return err
	}
	woken := rollouts.Wake(ctx, w.client, w.namespace, w.name)
	draw, again := time.NewTicker(drawEvery), time.NewTicker(lookEvery)
	defer draw.Stop()
	defer again.Stop()
	for {
		w.draw()
		select {
		case <-ctx.Done():
			w.leave()
			return nil
		case <-draw.C:
			if !w.terminal {
				continue
			}
		case <-again.C:
			w.lookAgain(ctx)
		case <-woken:
			w.lookAgain(ctx)
		}
	}
}

// look reads everything anew.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	family, err := rollouts.Gather(ctx, w.client, w.namespace, w.name)
	if err != nil {
		return err
	}
	w.view.family, w.view.trouble = family, ""
	w.note(rollouts.Headline(family.Rollout) + ": " + family.Rollout.Status.Message)
	return nil
}

// lookAgain keeps what was seen last while nothing can be seen.
func (w *watch) lookAgain(ctx context.Context) {
	err := w.look(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	w.view.trouble = session.Explain(err)
	if apierrors.IsNotFound(err) && !session.MissingKind(err) {
		w.view.trouble = fmt.Sprintf("Rollout %s was deleted", w.name)
	}
	w.note(w.view.trouble)
}

// note keeps a change, once.
func (w *watch) note(text string) {
	if text == w.said {
		return
	}
	w.said = text
	c := change{at: w.Now(), text: text}
	w.view.changes = append(w.view.changes, c)
	w.view.changes = w.view.changes[max(0, len(w.view.changes)-keptChanges):]
	if !w.terminal {
		fmt.Fprintf(w.Out, "%s  %s\n", c.at.Format(time.TimeOnly), c.text)
	}
}

// draw paints the screen over the last one, without a moment in which it is empty.
func (w *watch) draw() {
	if !w.terminal {
		return
	}
	w.view.now, w.view.paint = w.Now(), w.Paint()
	w.view.width, w.view.height = size(w.Out)
	lines := screen(w.view)
	fmt.Fprint(w.Out, "\x1b[H"+strings.Join(lines, "\x1b[K\r\n")+"\x1b[K\x1b[J")
}

// leave lets the last screen stand above the prompt.
func (w *watch) leave() {
	if w.terminal {
		fmt.Fprint(w.Out, "\r\n")
	}
}

func size(out any) (width, height int) {
	if f, ok := out.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}
