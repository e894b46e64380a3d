package advice

// fileRules judge what files say that no object can hold.
var fileRules = []Rule{
	{
		Code: "XF0001", Name: "UnknownField", Severity: Error,
		What: "A file has a field that its kind does not have, misspelt or at the wrong depth. kubectl apply refuses it, and what is applied in other ways loses it without a word.",
		Mend: "Correct the field; kubectl explain shows those that there are.",
		find: unknownField,
	},
}

// Strange is something that is wrong with an object, in a sentence.
type Strange struct {
	At      Ref
	Message string
}

func unknownField(s *scene) {
	for _, f := range s.Strange {
		s.found(f.At, "", "%s", f.Message)
	}
}
