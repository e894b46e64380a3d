package advice

import "github.com/crossfade-dev/crossfade/delivery/schedule"

// scheduleRules judge when a delivery may go on.
var scheduleRules = []Rule{
	{
		Code: "XF0171", Name: "ScheduleUnreadable", Severity: Error, Alone: true,
		What: "spec.schedule cannot be understood: a cron that never fires, or a zone that does not exist. The Rollout is refused with reason InvalidSchedule.",
		Mend: "Do what the message says.",
		find: scheduleUnreadable,
	},
	{
		Code: "XF0172", Name: "FreezeUnreadable", Severity: Error,
		What: "A Freeze cannot be understood. It holds everything that it may be about: somebody wanted a freeze.",
		Mend: "Correct or delete it.",
		find: freezeUnreadable,
	},
	{
		Code: "XF0173", Name: "FreezeWithoutEnd", Severity: Info,
		What: "A Freeze has no end: its namespaces are frozen until somebody deletes it.",
		Mend: "Set spec.to, so that it ends though it is forgotten.",
		find: freezeWithoutEnd,
	},
}

func scheduleUnreadable(s *scene) {
	for _, ro := range s.Rollouts {
		if ro.Spec.Schedule == nil {
			continue
		}
		if _, err := schedule.Read(ro.Spec.Schedule); err != nil {
			s.found(RefTo("Rollout", ro), "spec.schedule", "%v", err)
		}
	}
}

func freezeUnreadable(s *scene) {
	for _, f := range s.Freezes {
		if trouble := schedule.ReadFreeze(f).Trouble; trouble != "" {
			s.found(RefTo("Freeze", f), "spec", "%s", trouble)
		}
	}
}

func freezeWithoutEnd(s *scene) {
	for _, f := range s.Freezes {
		if f.Spec.To == nil && f.Spec.Cron == "" {
			s.found(RefTo("Freeze", f), "spec.to", "it ends only when it is deleted")
		}
	}
}
