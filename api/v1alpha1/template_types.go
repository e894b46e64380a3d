package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TemplateRef names a template of a check.
type TemplateRef struct {
	// kind is AnalysisTemplate, of the Rollout's namespace, or
	// ClusterAnalysisTemplate.
	// +optional
	// +kubebuilder:default=AnalysisTemplate
	// +kubebuilder:validation:Enum=AnalysisTemplate;ClusterAnalysisTemplate
	Kind string `json:"kind,omitempty"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="must be the name of a template: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
}

// The kinds of templates.
const (
	KindAnalysisTemplate        = "AnalysisTemplate"
	KindClusterAnalysisTemplate = "ClusterAnalysisTemplate"
)

// CheckArg is the value of a template's argument.
type CheckArg struct {
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// value is written as the argument's type wants it, in quotes.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Value string `json:"value"`
}

// AnalysisTemplate is a check that Rollouts of its namespace take over by
// templateRef.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=at,categories={crossfade}
// +kubebuilder:printcolumn:name="DESCRIPTION",type=string,JSONPath=`.spec.description`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type AnalysisTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AnalysisTemplateSpec `json:"spec"`
}

// AnalysisTemplateList is a list of AnalysisTemplates.
//
// +kubebuilder:object:root=true
type AnalysisTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AnalysisTemplate `json:"items"`
}

// ClusterAnalysisTemplate is a check that every Rollout may take over by
// templateRef.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=cat,categories={crossfade}
// +kubebuilder:printcolumn:name="DESCRIPTION",type=string,JSONPath=`.spec.description`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterAnalysisTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AnalysisTemplateSpec `json:"spec"`
}

// ClusterAnalysisTemplateList is a list of ClusterAnalysisTemplates.
//
// +kubebuilder:object:root=true
type ClusterAnalysisTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterAnalysisTemplate `json:"items"`
}

// AnalysisTemplateSpec is a check with arguments.
type AnalysisTemplateSpec struct {
	// description is one line for those who look for a template.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Description string `json:"description,omitempty"`
	// args are what a check that names this template may set.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Args []TemplateArg `json:"args,omitempty"`
	// check is what is measured and judged, with {{.Args.name}} in its texts.
	// +required
	Check TemplateCheck `json:"check"`
}

// ArgType says what the value of an argument may be.
// +kubebuilder:validation:Enum=String;Number;Duration
type ArgType string

// The types of arguments.
const (
	// ArgString is letters, digits and - _ . / : only, so that it can end no string
	// of a query.
	ArgString ArgType = "String"
	// ArgNumber is a decimal.
	ArgNumber ArgType = "Number"
	// ArgDuration is a duration such as 30s or 1h30m.
	ArgDuration ArgType = "Duration"
)

// TemplateArg is an argument of a template.
type TemplateArg struct {
	// name is what stands behind .Args: a letter, then letters and digits.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9]*$')",message="must be a letter, then letters and digits: it is written {{.Args.name}}"
	Name string `json:"name"`
	// type says what a value may be.
	// +optional
	// +kubebuilder:default=String
	Type ArgType `json:"type,omitempty"`
	// default is the value where a check sets none. Without a default a check must
	// set one.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Default *string `json:"default,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Description string `json:"description,omitempty"`
}

// TemplateCheck is a Check whose texts may insert arguments. What they are then must
// be what the fields of the same names of a Check may be. A template names no
// template, so none can go round in circles.
//
// +kubebuilder:validation:XValidation:rule="[has(self.successRate), has(self.latency), has(self.requestRate), has(self.prometheus)].filter(x, x).size() == 1",message="exactly one source must be set: successRate, latency, requestRate, or prometheus with a query"
// +kubebuilder:validation:XValidation:rule="!(has(self.min) || has(self.max)) || has(self.prometheus)",message="min and max are for the number of a prometheus query: set successRate.min, latency.max or requestRate.min instead"
// +kubebuilder:validation:XValidation:rule="!has(self.prometheus) || has(self.min) || has(self.max)",message="without min and max nothing is judged: set min, max or both"
// +kubebuilder:validation:XValidation:rule="!has(self.comparedToStable) || has(self.successRate) || has(self.latency)",message="comparedToStable compares a successRate or a latency: set one of the two, or compare within your query by .Stable"
// +kubebuilder:validation:XValidation:rule="!has(self.successRate) || has(self.successRate.min) || has(self.comparedToStable)",message="nothing is judged: set successRate.min, comparedToStable or both"
// +kubebuilder:validation:XValidation:rule="!has(self.latency) || has(self.latency.max) || has(self.comparedToStable)",message="nothing is judged: set latency.max, comparedToStable or both"
type TemplateCheck struct {
	// +optional
	SuccessRate *TemplateSuccessRate `json:"successRate,omitempty"`
	// +optional
	Latency *TemplateLatency `json:"latency,omitempty"`
	// +optional
	RequestRate *TemplateRequestRate `json:"requestRate,omitempty"`
	// +optional
	Prometheus *PrometheusSource `json:"prometheus,omitempty"`
	// +optional
	ComparedToStable *TemplateComparison `json:"comparedToStable,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Min *string `json:"min,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Max *string `json:"max,omitempty"`
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=128
	MinRequests *intstr.IntOrString `json:"minRequests,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Interval string `json:"interval,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Window string `json:"window,omitempty"`
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=128
	FailureLimit *intstr.IntOrString `json:"failureLimit,omitempty"`
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=128
	ConsecutiveFailures *intstr.IntOrString `json:"consecutiveFailures,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=128
	InitialDelay string `json:"initialDelay,omitempty"`
	// +optional
	OnNoData NoDataAction `json:"onNoData,omitempty"`
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// TemplateSuccessRate is a SuccessRate whose texts may insert arguments.
type TemplateSuccessRate struct {
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Min *string `json:"min,omitempty"`
}

// TemplateLatency is a Latency whose texts may insert arguments.
type TemplateLatency struct {
	// +optional
	// +kubebuilder:default="0.99"
	// +kubebuilder:validation:MaxLength=128
	Quantile string `json:"quantile,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Max *string `json:"max,omitempty"`
}

// TemplateRequestRate is a RequestRate whose texts may insert arguments.
type TemplateRequestRate struct {
	// +required
	// +kubebuilder:validation:MaxLength=128
	Min string `json:"min"`
}

// TemplateComparison is a Comparison whose texts may insert arguments.
type TemplateComparison struct {
	// +required
	// +kubebuilder:validation:MaxLength=128
	MaxRatio string `json:"maxRatio"`
}
