package delivery

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

var (
	errConflict = errors.New("conflict")
	errGone     = errors.New("not found")
)

// writeStatus writes what a plan says, under the optimistic lock.
func (w *world) writeStatus(o *Observation, plan *Plan) error {
	if w.ro == nil {
		return errGone
	}
	if w.cache.roRV != w.roRV {
		return errConflict
	}
	w.heard(o.Samples)
	w.post.written(o.Told)
	w.post.saw(plan.Events)
	was, next := w.ro.Status.Record, plan.Status.Record
	w.traceStatus(&w.ro.Status, &plan.Status)
	w.ro.Status = *plan.Status.DeepCopy()
	w.roRV = w.next()
	if !sameRecord(was, next) {
		w.checkRecord(o, was, next)
		w.recRV = w.roRV
	}
	w.see(0)
	return nil
}

func sameRecord(a, b *v1alpha1.Record) bool {
	if a == nil || b == nil {
		return a == b
	}
	return equality.Semantic.DeepEqual(a, b)
}

// do carries out one action on the object that was judged.
func (w *world) do(o *Observation, a *Action) error {
	w.trace("crossfade", describe(a))
	switch a.Kind {
	case AddFinalizer, RemoveFinalizer:
		return w.doFinalizer(o, a)
	case LabelDeployment, LetGo, Hold, Release:
		return w.doDeployment(o, a)
	case LabelService, UnlabelService, Pin, Unpin:
		return w.doService(o, a)
	case CreateHolder:
		return w.doCreateHolder(o)
	case DeleteHolder:
		return w.doDeleteHolder(o)
	case CreateCanary:
		return w.doCreateCanary(o, a)
	case Park, GiveBack, Scale, SetMinReady, DeleteReplicaSet:
		return w.doReplicaSet(o, a)
	case AnswerAction, DeleteAction:
		return w.doAsked(a)
	case Swap:
		if err := w.changeOwner(o, a.Object, OwnerHolder, 0); err != nil {
			return err
		}
		return errHalf
	case Join:
		return w.changeOwner(o, a.Object, OwnerDeployment, a.RevisionNumber)
	}
	return fmt.Errorf("unknown kind %s", a.Kind)
}

// errHalf says that a Swap has done the first of its two writes.
var errHalf = errors.New("half of a swap")

func describe(a *Action) string {
	s := fmt.Sprintf("%s %s", a.Kind, a.Object)
	switch a.Kind {
	case Scale:
		s += fmt.Sprintf(" to %d", a.Replicas)
	case SetMinReady:
		s += fmt.Sprintf(" to %ds", a.Seconds)
	case Pin:
		s += " to " + a.Revision
	case AnswerAction:
		return fmt.Sprintf("Answer %s: %s by %s: %s (%s)", a.Object, a.Answer.Phase, a.Answer.By, a.Answer.Message, a.Why)
	case Swap:
		s += fmt.Sprintf(" for %s as revision %d", a.Joins, a.RevisionNumber)
	case Join:
		s += fmt.Sprintf(" as revision %d", a.RevisionNumber)
	}
	if a.Direct {
		s += " directly"
	}
	return s + " (" + a.Why + ")"
}

func (w *world) doFinalizer(_ *Observation, a *Action) error {
	if w.ro == nil || w.roRV != w.cache.roRV {
		return errConflict
	}
	w.roRV = w.next()
	if a.Kind == AddFinalizer {
		w.ro.Finalizers = []string{v1alpha1.Finalizer}
		w.see(0)
		return nil
	}
	w.ro.Finalizers = nil
	if !w.ro.DeletionTimestamp.IsZero() {
		w.ro = nil
		w.trace("kubernetes", "the Rollout is gone")
	}
	w.see(0)
	return nil
}

func (w *world) doDeployment(o *Observation, a *Action) error {
	if w.d == nil || o.Deployment.ResourceVersion != strconv.Itoa(w.d.rv) {
		return errConflict
	}
	d := w.d
	w.checkDeploymentWrite(o, a)
	release := func() {
		if d.Hold == "running" {
			d.Paused = false
		}
		if d.Hold != "" {
			d.Generation++
		}
		d.Hold = ""
	}
	switch a.Kind {
	case LabelDeployment:
		d.Rollout = o.Rollout.Name
	case LetGo:
		d.Rollout = ""
		release()
	case Release:
		release()
	default:
		if d.Hold == "" {
			d.Hold = "running"
			if d.Paused {
				d.Hold = "paused"
			}
		}
		d.Paused = true
		d.Generation++
	}
	d.rv = w.next()
	return nil
}

func (w *world) doService(o *Observation, a *Action) error {
	i := slices.IndexFunc(w.svcs, func(s *service) bool { return s.Name == a.Object })
	if i < 0 {
		return errGone
	}
	s := w.svcs[i]
	if judged := judgedService(o, a.Object); judged == nil || judged.ResourceVersion != strconv.Itoa(s.rv) {
		return errConflict
	}
	switch a.Kind {
	case LabelService:
		s.Rollout = o.Rollout.Name
	case UnlabelService:
		s.Rollout, s.Pin, s.Key = "", "", ""
	case Pin:
		w.checkPin(o, s, a.Revision)
		s.Pin = a.Revision
		if (w.policies.Pin && s.Rollout != "") || a.Direct {
			s.Key = a.Revision
		}
	default:
		s.Pin = ""
		if w.policies.Pin || a.Direct {
			s.Key = ""
		}
	}
	s.rv = w.next()
	return nil
}

func judgedService(o *Observation, name string) *Service {
	if o.Service != nil && o.Service.Name == name {
		return o.Service
	}
	for i := range o.OtherServices {
		if o.OtherServices[i].Name == name {
			return &o.OtherServices[i]
		}
	}
	return nil
}

func (w *world) doCreateHolder(o *Observation) error {
	if w.holder == nil && w.d != nil {
		w.holder = &holder{Holder: Holder{Name: o.Deployment.Name + "-crossfade", UID: w.uid(), Deployment: o.Deployment.UID}, rv: w.next()}
	}
	return nil
}

// doDeleteHolder lets the garbage collector take what the holder still owns.
func (w *world) doDeleteHolder(*Observation) error {
	for _, r := range slices.Clone(w.rss) {
		if r.Owner == OwnerHolder {
			w.violated("I5", "the holder is deleted while it owns "+r.Name)
			w.remove(r)
		}
	}
	w.holder = nil
	return nil
}

func (w *world) doCreateCanary(o *Observation, a *Action) error {
	if w.d == nil || w.holder == nil {
		return errGone
	}
	if slices.ContainsFunc(w.rss, func(r *replicaSet) bool { return r.Name == a.Object }) {
		return nil
	}
	w.rss = append(w.rss, &replicaSet{
		ReplicaSet: ReplicaSet{
			Name: a.Object, UID: w.uid(), Revision: a.Revision, Template: o.Deployment.Template, Owner: OwnerHolder,
			MinReadySeconds: o.Deployment.MinReadySeconds, Created: w.now,
		},
		rv: w.next(), generation: 1,
	})
	return nil
}

func (w *world) doReplicaSet(o *Observation, a *Action) error {
	switch a.Kind {
	case Park:
		return w.changeOwner(o, a.Object, OwnerHolder, 0)
	case GiveBack:
		return w.changeOwner(o, a.Object, OwnerDeployment, 0)
	}
	r, err := w.judgedRS(o, a.Object)
	if err != nil {
		return err
	}
	switch a.Kind {
	case DeleteReplicaSet:
		if len(r.pods) > 0 {
			w.violated("I4", r.Name+" is deleted while it has pods")
		}
		w.remove(r)
	case SetMinReady:
		r.MinReadySeconds = a.Seconds
		r.generation++
	default:
		w.checkScale(o, r, a.Replicas)
		r.Replicas = a.Replicas
		r.generation++
	}
	r.rv = w.next()
	return nil
}

func (w *world) judgedRS(o *Observation, name string) (*replicaSet, error) {
	i := slices.IndexFunc(w.rss, func(r *replicaSet) bool { return r.Name == name })
	if i < 0 {
		return nil, errGone
	}
	j := slices.IndexFunc(o.ReplicaSets, func(r ReplicaSet) bool { return r.Name == name })
	if j < 0 || o.ReplicaSets[j].ResourceVersion != strconv.Itoa(w.rss[i].rv) {
		return nil, errConflict
	}
	return w.rss[i], nil
}

func (w *world) changeOwner(o *Observation, name string, to Owner, number int64) error {
	r, err := w.judgedRS(o, name)
	if err != nil {
		return err
	}
	w.checkOwner(r, to)
	if to == OwnerHolder && w.holder == nil {
		return errGone
	}
	r.Owner, r.rv = to, w.next()
	if number > 0 {
		r.RevisionNumber = number
	}
	return nil
}
