package delivery

import "slices"

// The two strategies by which a Deployment that nobody holds rolls out a template.

func (w *world) makeReplicaSet(others []*replicaSet) {
	d := w.d
	hash := "r" + d.Template
	for w.rs(hash) != nil {
		hash += "-2" // collisionCount
	}
	w.checkPlainRollout(hash)
	w.trace("kubernetes", "Deployment makes ReplicaSet "+d.Name+"-"+hash)
	var number int64
	for _, r := range others {
		number = max(number, r.RevisionNumber)
	}
	w.rss = append(w.rss, &replicaSet{
		ReplicaSet: ReplicaSet{RevisionNumber: number + 1, Name: d.Name + "-" + hash, UID: w.uid(), Revision: hash, Template: d.Template, Owner: OwnerDeployment, Created: w.now, MinReadySeconds: d.MinReadySeconds},
		rv:         w.next(), generation: 1,
	})
}

// recreate is the strategy of that name: all others go to 0 at once, and only when
// their last pod is gone the newest is made, at full size.
func (w *world) recreate(newest *replicaSet, others []*replicaSet) bool {
	if newest == nil {
		w.checkPlainRollout("another revision, all at once")
	}
	did, left := false, false
	for _, r := range others {
		did = w.setReplicas(r, 0) || did
		left = left || len(r.pods) > 0
	}
	switch {
	case did:
		return true
	case left:
		return false
	case newest == nil:
		w.makeReplicaSet(others)
		return true
	case newest.MinReadySeconds != w.d.MinReadySeconds:
		newest.MinReadySeconds, newest.rv = w.d.MinReadySeconds, w.next()
		newest.generation++
		return true
	}
	return w.setReplicas(newest, w.d.Replicas)
}

// roll is a rolling update: one pod more, then one less of the others.
func (w *world) roll(newest *replicaSet, others []*replicaSet) bool {
	d := w.d
	if newest == nil {
		w.makeReplicaSet(others)
		return true
	}
	if newest.MinReadySeconds != d.MinReadySeconds {
		newest.MinReadySeconds, newest.rv = d.MinReadySeconds, w.next()
		newest.generation++
		return true
	}
	olds := slices.DeleteFunc(slices.Clone(others), func(r *replicaSet) bool { return r.Replicas == 0 })
	if len(olds) == 0 {
		if w.setReplicas(newest, d.Replicas) {
			return true
		}
		for _, r := range w.overLimit(others) {
			w.remove(r)
			return true
		}
		return false
	}
	total := newest.Replicas
	available := newest.Available
	for _, r := range olds {
		total += r.Replicas
		available += r.Available
	}
	if newest.Replicas > d.Replicas {
		return w.setReplicas(newest, d.Replicas)
	}
	if total <= d.Replicas && newest.Replicas < d.Replicas {
		return w.setReplicas(newest, newest.Replicas+1)
	}
	if available > d.Replicas-1 || newest.Replicas == d.Replicas && newest.Available == d.Replicas || olds[0].Available < olds[0].Replicas {
		return w.setReplicas(olds[0], olds[0].Replicas-1)
	}
	return false
}
