// Package v1alpha1 is the API of Crossfade: the Rollout kind, and the names of
// the labels, annotations, conditions and reasons that others may rely on.
//
// +kubebuilder:object:generate=true
// +groupName=crossfade.dev
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/scheme"
)

// GroupVersion identifies this API.
var GroupVersion = schema.GroupVersion{Group: "crossfade.dev", Version: "v1alpha1"}

// SchemeBuilder collects the kinds of this package; AddToScheme puts them into
// a scheme.
var (
	SchemeBuilder = (&scheme.Builder{GroupVersion: GroupVersion}).Register(&Rollout{}, &RolloutList{})
	AddToScheme   = SchemeBuilder.AddToScheme
)
