package advice

// fileRules judge what files say that no object can hold.
var fileRules = []Rule{
	{
		Code: "XF0001", Name: "UnknownField", Severity: Error,
		What: "A file has a field that its kind does not have, misspelt or at the wrong depth. kubectl apply refuses it, and what is applied in other ways loses it without a word.",
		Mend: "Correct the field; kubectl explain shows those that there are.",
		find: unknownField,
	},
	{
		Code: "XF0002", Name: "Invalid", Severity: Error,
		What: "The API server would refuse an object of a file: a value has the wrong type, is out of its range, or contradicts another. It is told without a cluster, by the definitions that the plugin was built with.",
		Mend: "Do what the message says; docs/rollout.md has all fields.",
		find: invalid,
	},
}

// Strange is something that is wrong with an object, in a sentence.
type Strange struct {
	At Ref
	// Field is where, if that is known.
	Field   string
	Message string
}

func unknownField(s *scene) {
	for _, f := range s.Strange {
		s.found(f.At, "", "%s", f.Message)
	}
}

func invalid(s *scene) {
	for _, f := range s.Invalid {
		s.found(f.At, f.Field, "%s", f.Message)
	}
}
