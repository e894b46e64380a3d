package tree

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

type tableOptions struct {
	now              time.Time
	namespaces, wide bool
	paint            session.Paint
}

// writeTable writes what `kubectl get rollouts` shows, with the weight out of what
// it is.
func writeTable(w io.Writer, objects []unstructured.Unstructured, o tableOptions) error {
	header := []string{"NAME", "PHASE", "STEP", "WEIGHT", "ACKED", "STABLE", "CANARY", "WAITS", "AGE"}
	if o.namespaces {
		header = append([]string{"NAMESPACE"}, header...)
	}
	if o.wide {
		header = append(header, "MESSAGE")
	}
	rows := [][]string{header}
	for i := range objects {
		r, _ := rollouts.Read(&objects[i])
		row := []string{
			r.Name, rollouts.PhaseWord(r), r.Status.StepSummary, weightOf(r), r.Status.AckedSummary,
			revisionOf(r.Status.Stable), revisionOf(r.Status.Canary), r.Status.WaitingFor, age(o.now, r.CreationTimestamp.Time),
		}
		if o.namespaces {
			row = append([]string{r.Namespace}, row...)
		}
		if o.wide {
			row = append(row, r.Status.Message)
		}
		rows = append(rows, row)
	}
	column := slices.Index(header, "PHASE")
	return session.WriteColumns(w, rows, func(line, at int, cell string) string {
		if line == 0 || at != column {
			return cell
		}
		return PaintPhase(o.paint, v1alpha1.Phase(strings.TrimSpace(cell)), cell)
	})
}

func weightOf(r *v1alpha1.Rollout) string {
	if r.Status.Weight == nil {
		return ""
	}
	return fmt.Sprintf("%d/%d", r.Status.Weight.Desired, rollouts.Total(r)) + beside(r)
}

// beside is what the canary gets beside its weight, or of whom: " +match". An older
// controller does not say it.
func beside(r *v1alpha1.Rollout) string {
	if _, rest, has := strings.Cut(r.Status.WeightSummary, " "); has {
		return " " + rest
	}
	return ""
}

func revisionOf(r *v1alpha1.RevisionStatus) string {
	if r == nil {
		return ""
	}
	return r.Revision
}

func age(now, since time.Time) string {
	if since.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(since))
}

// PaintPhase colours a text by how good the phase is.
func PaintPhase(p session.Paint, phase v1alpha1.Phase, text string) string {
	switch phase {
	case v1alpha1.PhaseHealthy:
		return p.Good(text)
	case v1alpha1.PhasePaused, v1alpha1.PhaseInitializing:
		return p.Warn(text)
	case v1alpha1.PhaseRollingBack, v1alpha1.PhaseRolledBack:
		return p.Bad(text)
	case v1alpha1.PhaseProgressing, v1alpha1.PhasePromoting:
		return p.Strong(text)
	}
	return text
}
