package server

import (
	"strings"

	"github.com/crossfade-dev/crossfade/proxy/xds"
)

// removal stands for the version of a resource that is taken away.
const removal = ""

// reject takes in the NACK of a response. With one resource in it the culprit is known. With several the proxy may have
// applied any of them: Envoy takes the good clusters and routes of a bad response, but none of its endpoints. So none of
// them counts as held, and they go out again one by one until the culprit is found.
func (t *subscription) reject(f *flight, text string) {
	for _, name := range f.removed {
		if t.held[name] != nil {
			if t.lost == nil {
				t.lost = map[string]struct{}{}
			}
			t.lost[name] = struct{}{}
			t.due(name, false)
		}
	}
	if len(f.add) == 0 {
		// A removal can be refused as well, and then it is not repeated for ever either.
		for _, name := range f.removed {
			t.convict(name, removal, text)
		}
		return
	}
	open := f.add
	if culprit := accused(f, text); culprit != nil {
		t.convict(culprit.Name, culprit.Version, text)
		open = nil
		for _, r := range f.add {
			if r != culprit {
				open = append(open, r)
			}
		}
	}
	for _, r := range open {
		if t.undefined == nil {
			t.undefined, t.suspects = map[string]*xds.Resource{}, map[string]string{}
		}
		t.undefined[r.Name] = r
		t.suspects[r.Name] = r.Version
		t.due(r.Name, false)
	}
	// The last of the suspects is the culprit by elimination, unless the culprit is known already.
	t.verdict = ""
	if len(open) == len(f.add) {
		t.verdict = text
	}
}

// accused returns the resource that the NACK is about: the only one, or the only one that the text names. Envoy names
// clusters and listeners, and hardly ever a RouteConfiguration.
func accused(f *flight, text string) *xds.Resource {
	if len(f.add) == 1 {
		return f.add[0]
	}
	var found *xds.Resource
	for _, r := range f.add {
		if strings.Contains(text, r.Name) {
			if found != nil {
				return nil
			}
			found = r
		}
	}
	return found
}

// superseded drops suspects that are not published any more. What is left cannot be convicted by elimination then.
func (t *subscription) superseded(published map[string]*xds.Resource) {
	for name, version := range t.suspects {
		if r := published[name]; r == nil || r.Version != version {
			delete(t.suspects, name)
			t.verdict = ""
		}
	}
}

// eliminate convicts the last suspect when all the others of its response were acked: sending it once more would only
// repeat the rejection.
func (t *subscription) eliminate() {
	if len(t.suspects) != 1 || t.verdict == "" {
		return
	}
	for name, version := range t.suspects {
		t.convict(name, version, t.verdict)
	}
	t.verdict = ""
}

// convict notes that the proxy refuses a version.
func (t *subscription) convict(name, version, text string) {
	if t.rejected == nil {
		t.rejected = map[string][]rejection{}
	}
	refused := append(t.rejected[name], rejection{version: version, text: text})
	t.rejected[name] = refused[max(0, len(refused)-rejectionsKept):]
	if u := t.undefined[name]; u != nil && u.Version == version {
		delete(t.undefined, name)
	}
	if t.suspects[name] == version {
		delete(t.suspects, name)
	}
}

// refusal returns the rejection of a version, or false if the proxy did not refuse it.
func (t *subscription) refusal(name, version string) (string, bool) {
	for _, r := range t.rejected[name] {
		if r.version == version {
			return r.text, true
		}
	}
	return "", false
}
