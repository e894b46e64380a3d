package templates

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

type history struct {
	*session.Session
	output *session.Output
}

// History is `kubectl crossfade history`.
func History(s *session.Session) *cobra.Command {
	h := &history{Session: s}
	c := &cobra.Command{
		Use:               "history NAME",
		Short:             "List the revisions that are there, and how the last deliveries ended",
		Args:              session.OneName,
		ValidArgsFunction: s.CompleteRollouts,
		RunE:              func(c *cobra.Command, args []string) error { return h.run(c.Context(), args[0]) },
	}
	h.output = session.AddOutput(c, "json", "wide")
	return c
}

// Past is what `history -o json` writes.
type Past struct {
	// Revisions are the templates that are there, the newest first.
	Revisions []PastRevision `json:"revisions"`
	// Deliveries are the ends of the last ones, the newest first.
	Deliveries []PastDelivery `json:"deliveries"`
}

// PastRevision is a template that is there.
type PastRevision struct {
	Number   int64     `json:"number,omitempty"`
	Revision string    `json:"revision"`
	Role     string    `json:"role,omitempty"`
	Images   []string  `json:"images"`
	Created  time.Time `json:"created"`
	Cause    string    `json:"changeCause,omitempty"`
}

// PastDelivery is how a delivery ended.
type PastDelivery struct {
	At       time.Time `json:"at"`
	Revision string    `json:"revision"`
	Outcome  string    `json:"outcome"`
	By       string    `json:"by,omitempty"`
	Message  string    `json:"message,omitempty"`
}

func past(f *rollouts.Family) Past {
	p := Past{Revisions: []PastRevision{}, Deliveries: []PastDelivery{}}
	for _, r := range f.Revisions {
		p.Revisions = append(p.Revisions, PastRevision{
			Number: r.Number, Revision: r.Hash, Role: roleOf(f.Rollout, r.Hash), Images: r.Images, Created: r.Created.UTC(), Cause: r.Cause,
		})
	}
	for _, e := range f.Rollout.Status.History {
		p.Deliveries = append(p.Deliveries, PastDelivery{
			At: e.At.UTC(), Revision: e.Revision, Outcome: string(e.Outcome), By: e.By, Message: e.Message,
		})
	}
	return p
}

func (h *history) run(ctx context.Context, name string) error {
	if err := h.output.Check(); err != nil {
		return err
	}
	f, err := gather(ctx, h.Session, name)
	if err != nil {
		return err
	}
	p := past(f)
	if h.output.Format == "json" {
		return session.WriteJSON(h.Out, p)
	}
	wide := h.output.Format == "wide"
	if err := session.WriteColumns(h.Out, h.revisionRows(p, wide), nil); err != nil {
		return err
	}
	if len(p.Deliveries) == 0 {
		return nil
	}
	fmt.Fprintln(h.Out)
	return session.WriteColumns(h.Out, deliveryRows(p), nil)
}

func (h *history) revisionRows(p Past, wide bool) [][]string {
	rows := [][]string{{"NUMBER", "REVISION", "ROLE", "IMAGES", "AGE", "CHANGE-CAUSE"}}
	for _, r := range p.Revisions {
		number, images := "-", strings.Join(r.Images, ",")
		if r.Number > 0 {
			number = strconv.FormatInt(r.Number, 10)
		}
		if !wide && len(r.Images) > 1 {
			images = fmt.Sprintf("%s and %d more", r.Images[0], len(r.Images)-1)
		}
		rows = append(rows, []string{number, r.Revision, r.Role, images, duration.HumanDuration(h.Now().Sub(r.Created)), r.Cause})
	}
	return rows
}

func deliveryRows(p Past) [][]string {
	rows := [][]string{{"ENDED", "REVISION", "OUTCOME", "BY", "MESSAGE"}}
	for _, d := range p.Deliveries {
		rows = append(rows, []string{d.At.Format("2006-01-02 15:04:05Z"), d.Revision, d.Outcome, d.By, d.Message})
	}
	return rows
}
