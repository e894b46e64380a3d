package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Schedule says when a delivery may go on towards the canary. It may at a time that
// a window of allow covers (without any: at every time) and none of deny does.
// Towards stable nothing ever waits for it.
//
// +kubebuilder:validation:XValidation:rule="has(self.allow) || has(self.deny)",message="a schedule without windows says nothing: set allow, deny or both, or leave the schedule out"
type Schedule struct {
	// timeZone is the IANA name of the zone whose clock the windows go by, such as
	// Europe/Berlin.
	// +optional
	// +kubebuilder:default="UTC"
	TimeZone TimeZone `json:"timeZone,omitempty"`
	// allow are the windows within which the delivery goes on. Without any it does
	// at every time that deny leaves.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Allow []Window `json:"allow,omitempty"`
	// deny are the windows within which it waits, whatever allow says.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Deny []Window `json:"deny,omitempty"`
	// holds says what waits; all of it by default.
	// +optional
	Holds *Holds `json:"holds,omitempty"`
}

// TimeZone is the IANA name of a time zone.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$') && self != 'Local'",message="must be the IANA name of a time zone, such as Europe/Berlin, Asia/Kolkata or UTC"
type TimeZone string

// Cron is a time of day and the days on which it comes, in cron's five fields.
// +kubebuilder:validation:MinLength=9
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z*,/?-]+( +[0-9A-Za-z*,/?-]+){4}$')",message="must be cron's five fields (minute, hour, day of month, month, day of week), such as \"0 9 * * MON-FRI\"; the time zone goes into timeZone"
type Cron string

// Window opens whenever its cron says, and is open for a duration, by the clock on
// the wall: 22:00 and 8h are open until 06:00 also in the nights in which the clock
// is changed.
type Window struct {
	// cron says when the window opens: minute, hour, day of month, month, day of
	// week.
	// +required
	Cron Cron `json:"cron"`
	// duration is how long it is open.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('8784h')",message="must be a duration such as 30m, 8h or 1h30m, from 1m to 8784h (366 days)"
	Duration metav1.Duration `json:"duration"`
	// timeZone overrides the schedule's one.
	// +optional
	TimeZone TimeZone `json:"timeZone,omitempty"`
}

// Holds says which moments of a delivery wait for an open time.
//
// +kubebuilder:validation:XValidation:rule="(has(self.start) ? self.start : true) || (has(self.step) ? self.step : true) || (has(self.promote) ? self.promote : true)",message="nothing would be held: leave one of start, step and promote true"
type Holds struct {
	// start holds the first canary pod, and the first step with it.
	// +optional
	// +kubebuilder:default=true
	Start *bool `json:"start,omitempty"`
	// step holds each further step, before it begins.
	// +optional
	// +kubebuilder:default=true
	Step *bool `json:"step,omitempty"`
	// promote holds what follows the last step: all requests to the canary, and its
	// promotion.
	// +optional
	// +kubebuilder:default=true
	Promote *bool `json:"promote,omitempty"`
}

// Freeze holds the deliveries of many namespaces, for as long as it says: no canary
// starts, no step begins, nothing is promoted. Going back to stable is never held.
// It goes before every schedule of a Rollout.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=fz,categories=crossfade
// +kubebuilder:printcolumn:name="NAMESPACES",type=string,JSONPath=`.status.namespaces`
// +kubebuilder:printcolumn:name="FROM",type=string,JSONPath=`.spec.from`
// +kubebuilder:printcolumn:name="TO",type=string,JSONPath=`.spec.to`
// +kubebuilder:printcolumn:name="CRON",type=string,JSONPath=`.spec.cron`
// +kubebuilder:printcolumn:name="ACTIVE",type=string,JSONPath=`.status.conditions[?(@.type=="Active")].status`
// +kubebuilder:printcolumn:name="UNTIL",type=string,JSONPath=`.status.until`
// +kubebuilder:printcolumn:name="REASON",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`,priority=1
// +kubebuilder:printcolumn:name="MESSAGE",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type Freeze struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the administrator wants.
	// +required
	Spec FreezeSpec `json:"spec"`
	// status says whether it holds now.
	// +optional
	Status FreezeStatus `json:"status,omitzero"`
}

// FreezeList is a list of Freezes.
//
// +kubebuilder:object:root=true
type FreezeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Freeze `json:"items"`
}

// FreezeSpec says which namespaces are frozen and when: from one time to another, or
// again and again by cron.
//
// +kubebuilder:validation:XValidation:rule="has(self.cron) ? !has(self.from) && !has(self.to) : has(self.from) || has(self.to)",message="set either from, to or both (from alone lasts until the Freeze is deleted, to alone begins at once), or cron with duration"
// +kubebuilder:validation:XValidation:rule="has(self.cron) == has(self.duration)",message="cron and duration go together: set both or none"
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.cron)",message="timeZone is for cron: from and to say their offset themselves, remove timeZone"
// +kubebuilder:validation:XValidation:rule="!has(self.from) || !has(self.to) || self.from < self.to",message="to must be later than from"
type FreezeSpec struct {
	// namespaceSelector selects the namespaces by their labels; without it all are
	// frozen.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))",message="each of matchExpressions needs an operator: In or NotIn with values, Exists or DoesNotExist without"
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// from is when the freeze begins; without it, at once.
	// +optional
	From *metav1.Time `json:"from,omitempty"`
	// to is when it ends; without it, when the Freeze is deleted.
	// +optional
	To *metav1.Time `json:"to,omitempty"`
	// cron says when it begins, again and again: minute, hour, day of month, month,
	// day of week.
	// +optional
	Cron Cron `json:"cron,omitempty"`
	// duration is how long it lasts each time, by the clock on the wall.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('8784h')",message="must be a duration such as 30m, 8h or 72h, from 1m to 8784h (366 days)"
	Duration *metav1.Duration `json:"duration,omitempty"`
	// timeZone is the IANA name of the zone whose clock cron goes by; UTC without it.
	// +optional
	TimeZone TimeZone `json:"timeZone,omitempty"`
	// holds says what waits; all of it by default.
	// +optional
	Holds *Holds `json:"holds,omitempty"`
	// reason is shown to everybody whose delivery waits.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('[^ \\t\\n\\r]') && !self.contains('\\n')",message="say in one line why: whoever waits reads it"
	Reason string `json:"reason"`
}

// FreezeStatus says whether a Freeze holds now.
type FreezeStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// namespaces says which are selected, as people read it: "all", or the selector.
	// +optional
	Namespaces string `json:"namespaces,omitempty"`
	// until is when Active changes next; empty when it does not by itself.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// conditions are Ready (False, reason InvalidSchedule: it cannot be understood,
	// and therefore holds until it is mended) and Active.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
