package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossfade-dev/crossfade/proxy"
	"github.com/crossfade-dev/crossfade/proxy/ir"
)

// told is what users are told, a line for each condition.
func told(out proxy.Output) map[string]any {
	classes, gateways, routes := map[string]any{}, map[string]any{}, map[string]any{}
	for name, status := range out.GatewayClasses {
		classes[name] = lines(status.Conditions)
	}
	for key, status := range out.Gateways {
		listeners := map[string]any{}
		for _, l := range status.Listeners {
			listeners[string(l.Name)] = map[string]any{
				"attachedRoutes": l.AttachedRoutes,
				"supportedKinds": len(l.SupportedKinds),
				"conditions":     lines(l.Conditions),
			}
		}
		gateways[key.String()] = map[string]any{"conditions": lines(status.Conditions), "listeners": listeners}
	}
	for key, status := range out.HTTPRoutes {
		var parents []any
		for _, p := range status.Parents {
			parents = append(parents, map[string]any{
				"parentRef": p.ParentRef, "controllerName": p.ControllerName, "conditions": lines(p.Conditions),
			})
		}
		routes[key.String()] = parents
	}
	all := map[string]any{"gatewayClasses": classes, "gateways": gateways, "httpRoutes": routes}
	if len(out.MeshPolicies) > 0 {
		policies := map[string]any{}
		for key, conditions := range out.MeshPolicies {
			policies[key.String()] = lines(conditions)
		}
		all["meshPolicies"] = policies
	}
	return all
}

func lines(conditions []metav1.Condition) []string {
	var lines []string
	for _, c := range conditions {
		lines = append(lines, fmt.Sprintf("%s=%s %s (generation %d): %s", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message))
	}
	return lines
}

func newReader(content []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(content)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func byName[V any](m map[types.NamespacedName]V) map[string]V {
	named := make(map[string]V, len(m))
	for key, value := range m {
		named[key.String()] = value
	}
	return named
}

func name(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func names(p ir.Port) []string {
	var names []string
	for _, r := range p.Revisions {
		names = append(names, r.Name)
	}
	return names
}

func cmpString(a, b string) int { return strings.Compare(a, b) }
