package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// HookMoment is a point of a delivery at which hooks are asked.
// +kubebuilder:validation:Enum=BeforeStart;BeforeStep;DuringStep;BeforePromotion;AfterPromotion;AfterRollback
type HookMoment string

// The moments. What is asked before or during something holds the delivery until it
// has said yes, and takes it back when it says no; what is asked after something is
// only told.
const (
	// BeforeStart: before the first pod of a canary exists.
	BeforeStart HookMoment = "BeforeStart"
	// BeforeStep: before a step begins, while what came before is still served and
	// measured.
	BeforeStep HookMoment = "BeforeStep"
	// DuringStep: from when a step's weight is acked; it must have passed before the
	// step is left.
	DuringStep HookMoment = "DuringStep"
	// BeforePromotion: after the last step, before the canary gets everything.
	BeforePromotion HookMoment = "BeforePromotion"
	// AfterPromotion: the canary is stable now.
	AfterPromotion HookMoment = "AfterPromotion"
	// AfterRollback: a failed revision is gone.
	AfterRollback HookMoment = "AfterRollback"
)

// Hook asks somebody outside of Crossfade. It may be asked more than once for the
// same thing: after a crash of the controller the call is repeated, with the same key.
//
// +kubebuilder:validation:XValidation:rule="has(self.http) != has(self.job)",message="exactly one of http and job must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.steps) || self.at in ['BeforeStep', 'DuringStep']",message="steps has a meaning for BeforeStep and DuringStep only: leave it out"
type Hook struct {
	// name is unique within the Rollout.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="must be lower-case letters, digits and '-'"
	Name string `json:"name"`
	// at is when it is asked.
	// +required
	At HookMoment `json:"at"`
	// steps are the steps before or during which it is asked, counted from 1; without
	// it all of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=50
	Steps []int32 `json:"steps,omitempty"`
	// http asks by a POST.
	// +optional
	HTTP *HTTPHook `json:"http,omitempty"`
	// job asks by running a Job to its end.
	// +optional
	Job *JobSource `json:"job,omitempty"`
}

// HTTPHook is a POST with a JSON body that says what is about to happen. 2xx goes
// on; 409 and 425 wait and are asked again until progressDeadlineSeconds; any other
// answer fails.
//
// +kubebuilder:validation:XValidation:rule="has(self.serviceRef) != has(self.url)",message="exactly one of serviceRef and url must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.path) || !has(self.url) || size(url(self.url).getEscapedPath()) <= 1",message="url has a path already: leave path out, or write it there only"
type HTTPHook struct {
	// serviceRef names a port of a Service in the Rollout's namespace; it is asked by
	// plain HTTP.
	// +optional
	ServiceRef *ServicePortRef `json:"serviceRef,omitempty"`
	// url is http:// or https://, a host, and optionally a port, a path and a query.
	// The administrator must have allowed the host (--hook-hosts).
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && size(url(self).getHostname()) > 0 && !self.contains('@') && !self.contains('#')",message="must be http:// or https:// with a host, such as https://deploys.example.com/crossfade, without user, password and fragment"
	URL string `json:"url,omitempty"`
	// path is what is asked for, "/" without it; it may have a query.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[!-~]*$') && !self.contains('#') && isURL('http://host' + self)",message="must begin with '/', without blanks and fragment"
	Path string `json:"path,omitempty"`
	// timeout is the longest time for one answer.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('100ms') && duration(self) <= duration('60s')",message="must be a duration such as 10s, from 100ms to 60s; to wait longer let the hook answer 425 until it knows"
	Timeout metav1.Duration `json:"timeout,omitempty"`
	// retries is how often it is asked again when no answer came in time, one after
	// another, before that counts as a failure.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Retries *int32 `json:"retries,omitempty"`
}

// ServicePortRef names a port of a Service in the Rollout's namespace.
type ServicePortRef struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1035Label().validate(self).hasValue()",message="must be the name of a Service: lower-case letters, digits and '-', starting with a letter"
	Name string `json:"name"`
	// port is one of the Service's, by its number.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}

// JobSource is a Job that is made in the Rollout's namespace and run to its end:
// complete is yes, failed is no.
type JobSource struct {
	// +required
	Template JobTemplate `json:"template"`
}

// JobTemplate is what a CronJob calls its jobTemplate.
type JobTemplate struct {
	// +optional
	Metadata JobMetadata `json:"metadata,omitzero"`
	// spec is that of a Job (batch/v1). ttlSecondsAfterFinished is not taken over:
	// finished Jobs are kept as the history limit says.
	// +required
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Spec runtime.RawExtension `json:"spec"`
}

// JobMetadata are the labels and annotations of the Job.
type JobMetadata struct {
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`
}

// HookState is what a hook has said so far.
// +kubebuilder:validation:Enum=Asking;Passed;Failed
type HookState string

// The states of a hook.
const (
	// HookAsking: it has not said yes or no.
	HookAsking HookState = "Asking"
	// HookPassed: it said yes, for this revision and this step.
	HookPassed HookState = "Passed"
	// HookFailed: it said no, or nothing for too long.
	HookFailed HookState = "Failed"
)

// HookRecord is what is known of a hook at one moment of one delivery. It is written
// before the hook is asked, so that a crash repeats the call and forgets no answer.
type HookRecord struct {
	// name is the hook's.
	Name string `json:"name"`
	// at and step are the moment; step is 0 where no step is meant.
	At HookMoment `json:"at"`
	// +optional
	Step int32 `json:"step,omitempty"`
	// revision and attempt are the delivery.
	Revision string `json:"revision"`
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// state is what it has said so far.
	State HookState `json:"state"`
	// since is when it was asked first: its deadline counts from here.
	Since metav1.MicroTime `json:"since"`
	// answers counts them; silent counts those of late that did not come.
	// +optional
	Answers int32 `json:"answers,omitempty"`
	// +optional
	Silent int32 `json:"silent,omitempty"`
	// answeredAt is when the last one came, or did not come in time.
	// +optional
	AnsweredAt *metav1.MicroTime `json:"answeredAt,omitempty"`
	// message is the last one, in a short sentence; of HTTP the status code only.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`
}
