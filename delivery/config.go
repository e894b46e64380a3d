package delivery

import (
	"fmt"
	"slices"

	"github.com/crossfade-dev/crossfade/api/v1alpha1"
)

// Config is a ConfigMap or Secret that pods of stable or of the canary use.
type Config struct {
	Kind, Name string
	// Version changes with the content; empty when there is no such object. Nothing of
	// the content is in it.
	Version string
}

// watchConfig tells of configuration that is changed in place while a canary is on its
// way: pods of both revisions may then run with either content, depending on when each
// was started, and a check that compares them says nothing of the template any more.
// Nobody can say which of the two a bad answer comes from, so it is told and decides
// nothing.
func (p *pass) watchConfig() bool {
	if !p.ConfigKnown {
		return false
	}
	if p.rec.Config == nil {
		return len(p.Config) > 0 && p.write(func(r *v1alpha1.Record) {
			for _, c := range p.Config {
				r.Config = append(r.Config, v1alpha1.ConfigVersion{Kind: c.Kind, Name: c.Name, Version: c.Version})
			}
		})
	}
	var changed []string
	for _, c := range p.Config {
		i := slices.IndexFunc(p.rec.Config, func(v v1alpha1.ConfigVersion) bool { return v.Kind == c.Kind && v.Name == c.Name })
		if i < 0 || p.rec.Config[i].Version == c.Version {
			continue
		}
		changed = append(changed, c.Kind+" "+c.Name)
		p.rec.Config[i].Version, p.rec.Config[i].Changed = c.Version, true
	}
	if len(changed) == 0 {
		return false
	}
	p.warn(EventConfigChanged, configSentence(changed))
	return p.write(func(*v1alpha1.Record) {})
}

// configChanged names what was changed in place in this delivery.
func (p *pass) configChanged() []string {
	if p.rec == nil {
		return nil
	}
	var changed []string
	for _, c := range p.rec.Config {
		if c.Changed {
			changed = append(changed, c.Kind+" "+c.Name)
		}
	}
	return changed
}

func configSentence(changed []string) string {
	return fmt.Sprintf("%s changed in place while a canary is on its way: stable and canary no longer differ by their template alone; "+
		"make configuration part of the template, by a name that follows from its content or an annotation with its checksum", join(changed))
}
