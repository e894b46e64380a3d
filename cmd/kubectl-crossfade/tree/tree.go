package tree

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/rollouts"
	"github.com/crossfade-dev/crossfade/cmd/kubectl-crossfade/session"
)

// Options say how a tree is written.
type Options struct {
	Now   time.Time
	Wide  bool
	Paint session.Paint
}

// node is a line of the tree with the lines below it.
type node struct {
	text  string
	below []node
}

func leaf(format string, args ...any) node { return node{text: fmt.Sprintf(format, args...)} }

// WriteTree writes a Rollout with all that belongs to it.
func WriteTree(w io.Writer, f *rollouts.Family, o Options) error {
	b := &strings.Builder{}
	root := rolloutNode(f, o)
	b.WriteString(root.text + "\n")
	writeNodes(b, "", root.below)
	if f.Strange != "" {
		fmt.Fprintf(b, "This plugin could not read %s: the controller is of another version (kubectl crossfade version).\n", f.Strange)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeNodes(b *strings.Builder, indent string, nodes []node) {
	for i, n := range nodes {
		branch, deeper := "├─ ", "│  "
		if i == len(nodes)-1 {
			branch, deeper = "└─ ", "   "
		}
		b.WriteString(strings.TrimRight(indent+branch+n.text, " ") + "\n")
		writeNodes(b, indent+deeper, n.below)
	}
}

func rolloutNode(f *rollouts.Family, o Options) node {
	r := f.Rollout
	name := rollouts.PhaseWord(r)
	root := node{text: fmt.Sprintf("%s  %s", o.Paint.Strong("Rollout "+r.Namespace+"/"+r.Name), PaintPhase(o.Paint, r.Status.Phase, name))}
	if r.Status.StepSummary != "" {
		root.text += "  step " + r.Status.StepSummary
	}
	if r.DeletionTimestamp != nil {
		root.text += "  " + o.Paint.Warn("being deleted")
	}
	root.below = append(root.below, waitNode(r, o))
	root.below = append(root.below, workloadNode(f))
	root.below = append(root.below, revisionNodes(f, o)...)
	if r.Status.Weight != nil {
		root.below = append(root.below, weightNode(r, o))
	}
	if len(r.Status.Checks) > 0 {
		root.below = append(root.below, checksNode(r, o))
	}
	return root.with(conditionNodes(r, o))
}

func (n node) with(more []node) node {
	n.below = append(n.below, more...)
	return n
}

// waitNode says what is waited for and until when; the controller's sentence has
// both.
func waitNode(r *v1alpha1.Rollout, o Options) node {
	message := r.Status.Message
	if message == "" {
		message = "no controller has looked at it yet: is crossfade-controller running? (kubectl -n " + session.SystemNamespace + " get pods)"
	}
	n := node{text: message}
	if r.Status.WaitingFor != "" {
		n.below = append(n.below, leaf("waits for %s", o.Paint.Warn(r.Status.WaitingFor)))
	}
	if r.Status.ObservedGeneration < r.Generation && r.Status.Phase != "" {
		n.below = append(n.below, leaf("%s", o.Paint.Warn("the controller has not seen the last change of this Rollout yet")))
	}
	return n
}

func workloadNode(f *rollouts.Family) node {
	r := f.Rollout
	text := fmt.Sprintf("Deployment %s, Service %s", rollouts.WorkloadName(r), r.Spec.ServiceRef.Name)
	if f.Deployment == nil {
		return node{text: text + ": there is no such Deployment"}
	}
	if hold := f.Deployment.GetAnnotations()[v1alpha1.AnnotationHold]; hold != "" {
		text += ", held"
	}
	if why, ok := f.Deployment.GetAnnotations()[v1alpha1.AnnotationBreakGlass]; ok {
		text += fmt.Sprintf(", glass broken: %q", why)
	}
	return node{text: text}
}

// revisionNodes are the revisions that have pods or a part in what goes on; those
// that are history are for `history`.
func revisionNodes(f *rollouts.Family, o Options) []node {
	var nodes []node
	record := f.Rollout.Status.Record
	roles := map[string]string{}
	if record != nil {
		roles[record.Failed], roles[record.Old] = "failed", "was stable"
		roles[record.Stable], roles[record.Canary] = "stable", "canary"
		delete(roles, "")
	}
	if record != nil && record.Failed != "" && f.Revision(record.Failed) == nil {
		nodes = append(nodes, leaf("%s %s  its pods and its ReplicaSet are gone", o.Paint.Strong("failed"), record.Failed))
	}
	pods := map[string][]rollouts.Pod{}
	for _, p := range f.Pods {
		pods[p.Revision] = append(pods[p.Revision], p)
	}
	for _, revision := range f.Revisions {
		role := roles[revision.Hash]
		if role == "" && len(pods[revision.Hash]) == 0 && revision.Replicas == 0 {
			continue
		}
		nodes = append(nodes, revisionNode(f, revision, role, pods[revision.Hash], o))
	}
	return nodes
}

func revisionNode(f *rollouts.Family, r rollouts.Revision, role string, pods []rollouts.Pod, o Options) node {
	if role == "" {
		role = "revision"
	}
	n := node{text: fmt.Sprintf("%s %s  %d/%d pods ready%s", o.Paint.Strong(role), r.Hash, r.Ready, r.Replicas, share(f.Rollout, r.Hash))}
	if len(r.Images) > 0 {
		n.text += "  " + o.Paint.Faint(strings.Join(r.Images, ", "))
	}
	for _, p := range pods {
		n.below = append(n.below, podNode(p, o))
	}
	return n
}

// share is the part of the requests that a revision gets, as it is rendered for the
// proxies.
func share(r *v1alpha1.Rollout, hash string) string {
	record := r.Status.Record
	if record == nil || r.Status.Weight == nil {
		return ""
	}
	canary := float64(r.Status.Weight.Effective) / float64(rollouts.Total(r)) * 100
	switch hash {
	case record.Canary:
		return fmt.Sprintf("  %s of requests", percent(canary))
	case record.Stable:
		return fmt.Sprintf("  %s of requests", percent(100-canary))
	}
	return ""
}

func percent(p float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", p), "0"), ".") + "%"
}

func podNode(p rollouts.Pod, o Options) node {
	state := p.State
	switch {
	case p.Ready == p.Containers && state == "Running":
		state = o.Paint.Good(state)
	case strings.Contains(state, "BackOff") || strings.Contains(state, "Err") || state == "Failed":
		state = o.Paint.Bad(state)
	default:
		state = o.Paint.Warn(state)
	}
	text := fmt.Sprintf("pod %s  %s  %d/%d  %s", p.Name, state, p.Ready, p.Containers, age(o.Now, p.Created))
	if p.Restarts > 0 {
		text += fmt.Sprintf("  restarts %d", p.Restarts)
	}
	if o.Wide {
		text += fmt.Sprintf("  %s  %s", orDash(p.IP), orDash(p.Node))
	}
	return node{text: text}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func weightNode(r *v1alpha1.Rollout, o Options) node {
	w := r.Status.Weight
	n := leaf("weight  desired %d, effective %d, acked %d, of %d%s", w.Desired, w.Effective, w.Acked, rollouts.Total(r), beside(r))
	if x := r.Status.Proxies; x != nil {
		text := fmt.Sprintf("proxies  %d expected, %d connected, %d acked, %d rejected", x.Expected, x.Connected, x.Acked, x.Rejected)
		if x.OtherVersion > 0 {
			text += fmt.Sprintf(", %d of another version", x.OtherVersion)
		}
		if x.Acked < x.Expected || x.Rejected > 0 {
			text = o.Paint.Warn(text)
		}
		n.below = append(n.below, node{text: text})
	}
	return n
}

func checksNode(r *v1alpha1.Rollout, o Options) node {
	n := node{text: "checks"}
	for _, c := range r.Status.Checks {
		n.below = append(n.below, checkNode(r, c, o))
	}
	return n
}

func checkNode(r *v1alpha1.Rollout, c v1alpha1.CheckStatus, o Options) node {
	verdict := PaintVerdict(o.Paint, c.Verdict, string(c.Verdict))
	n := leaf("%s  %s", c.Name, verdict)
	if measured := rollouts.Measured(r, c); measured != "" {
		n.text += "  " + measured
	}
	if c.MeasuredAt != nil {
		n.text += fmt.Sprintf("  %s ago", age(o.Now, c.MeasuredAt.Time))
	}
	if c.Failures > 0 {
		n.text += fmt.Sprintf("  %d failed", c.Failures)
	}
	if c.Message != "" {
		n.below = append(n.below, node{text: c.Message})
	}
	return n
}

// conditionNodes are the conditions that ask for somebody's attention.
func conditionNodes(r *v1alpha1.Rollout, o Options) []node {
	var nodes []node
	for _, c := range r.Status.Conditions {
		bad := c.Status == "True"
		switch c.Type {
		case v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionPromoted:
			continue
		case v1alpha1.ConditionHeld:
			bad = c.Status == "False"
		}
		if !bad || c.Message == r.Status.Message {
			continue
		}
		nodes = append(nodes, leaf("%s  %s", o.Paint.Warn(c.Type+" "+c.Reason), c.Message))
	}
	return nodes
}

// PaintVerdict colours a text by how good the verdict is.
func PaintVerdict(p session.Paint, verdict v1alpha1.Verdict, text string) string {
	switch verdict {
	case v1alpha1.VerdictPassing:
		return p.Good(text)
	case v1alpha1.VerdictFailed:
		return p.Bad(text)
	case v1alpha1.VerdictFailing, v1alpha1.VerdictNoVerdict:
		return p.Warn(text)
	case v1alpha1.VerdictPending:
	}
	return text
}
