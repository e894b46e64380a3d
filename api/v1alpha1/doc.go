// Package v1alpha1 is the API of Crossfade: the kinds Rollout, RolloutAction, Freeze
// and MeshPolicy, and the names of the labels, annotations, conditions and reasons
// that others may rely on.
//
// +kubebuilder:object:generate=true
// +groupName=crossfade.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion identifies this API.
var GroupVersion = schema.GroupVersion{Group: "crossfade.dev", Version: "v1alpha1"}

// AddToScheme puts the kinds of this package into a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(
		GroupVersion,
		&Rollout{}, &RolloutList{}, &RolloutAction{}, &RolloutActionList{}, &Freeze{}, &FreezeList{},
		&AnalysisTemplate{}, &AnalysisTemplateList{}, &ClusterAnalysisTemplate{}, &ClusterAnalysisTemplateList{},
		&MeshPolicy{}, &MeshPolicyList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
