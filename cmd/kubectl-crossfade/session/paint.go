package session

// Paint colours words for a terminal; the zero value leaves them as they are.
type Paint struct{ on bool }

// Paint is what this session may colour with.
func (s *Session) Paint() Paint { return Paint{on: s.Colored()} }

// NewPaint is for a screen that knows by itself whether it is a terminal.
func NewPaint(on bool) Paint { return Paint{on: on} }

// Good is for what goes well.
func (p Paint) Good(text string) string { return p.wrap("32", text) }

// Warn is for what waits for somebody, or may go wrong.
func (p Paint) Warn(text string) string { return p.wrap("33", text) }

// Bad is for what went wrong.
func (p Paint) Bad(text string) string { return p.wrap("31", text) }

// Strong is for what is read first.
func (p Paint) Strong(text string) string { return p.wrap("1", text) }

// Faint is for what is read last.
func (p Paint) Faint(text string) string { return p.wrap("2", text) }

func (p Paint) wrap(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
