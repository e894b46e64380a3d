package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// process is the Envoy that runs, or none.
//
// It is not waited for with exec.Cmd: process 1 of a container inherits every
// orphan in it (of `kubectl exec`, for one) and has to wait for those too, and
// two that wait for any child take each other's.
type process struct {
	pid int // 0: none
}

// ending is how a process ended.
type ending struct {
	pid    int
	status syscall.WaitStatus
}

// String is for people: "exit status 1", "signal: killed".
func (e ending) String() string {
	if e.status.Signaled() {
		return "signal: " + e.status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", e.status.ExitStatus())
}

// start starts a program with the agent's own outputs, and more variables than its
// own.
func start(program string, args []string, more ...string) (process, error) {
	c := exec.Command(program, args...)
	c.Env = append(os.Environ(), more...)
	// Logs go to one place; what the agent prints to stdout is for people.
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{
		// Ctrl-C in a terminal goes to a whole group: Envoy must not get it.
		Setpgid: true,
		// Outside of a container nobody else would end it when the agent is killed.
		Pdeathsig: syscall.SIGKILL,
	}
	if err := c.Start(); err != nil {
		return process{}, fmt.Errorf("start %s: %w", program, err)
	}
	pid := c.Process.Pid
	if err := c.Process.Release(); err != nil {
		return process{}, fmt.Errorf("start %s: %w", program, err)
	}
	return process{pid: pid}, nil
}

func (p process) running() bool { return p.pid != 0 }

func (p process) kill() error {
	if !p.running() {
		return nil // To the kernel 0 is everybody in the agent's own group.
	}
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill Envoy: %w", err)
	}
	return nil
}

// reap waits for all children that have ended and returns them. It does not
// block. One SIGCHLD may stand for several of them.
func reap() []ending {
	var ended []ending
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 { // No child at all, or none that ended.
			return ended
		}
		ended = append(ended, ending{pid: pid, status: status})
	}
}
