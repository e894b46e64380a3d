package node

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// restartDelay keeps a program that cannot start from filling the disk.
const restartDelay = time.Second

// environment of all programs. The user's own could carry proxy settings.
var environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
}

// supervisor starts programs and, as process 1 has to, reaps every process of
// the node whose parent has gone. Its children are not os/exec's: a Wait for
// one child and the wait for any would take each other's.
type supervisor struct {
	logs    string
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus // by PID
}

// newSupervisor reaps until ctx ends. There must not be two of them in a
// process: each would take the other's children.
func newSupervisor(ctx context.Context, logs string) *supervisor {
	s := &supervisor{logs: logs, waiting: map[int]chan syscall.WaitStatus{}}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		defer signal.Stop(children)
		for {
			select {
			case <-ctx.Done():
				return
			case <-children:
				s.reap()
			}
		}
	}()
	return s
}

// keep runs a program for good.
func (s *supervisor) keep(p program) {
	go func() {
		for {
			log.Printf("%s ended: %v", p.name, s.once(p))
			time.Sleep(restartDelay)
		}
	}()
}

// once runs a program to its end.
func (s *supervisor) once(p program) error {
	done, err := s.fork(p)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	status := <-done
	switch {
	case status.Signaled():
		return fmt.Errorf("%s: %v", p.name, status.Signal())
	case status.ExitStatus() != 0:
		return fmt.Errorf("%s: exit status %d", p.name, status.ExitStatus())
	}
	return nil
}

func (s *supervisor) fork(p program) (<-chan syscall.WaitStatus, error) {
	path, err := exec.LookPath(p.args[0])
	if err != nil {
		return nil, fmt.Errorf("find program: %w", err)
	}
	out, err := os.OpenFile(filepath.Join(s.logs, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = out.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	defer func() { _ = null.Close() }()

	// The lock spans fork and entry, so that reap cannot miss a short life.
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec(path, p.args, &syscall.ProcAttr{
		Env:   environment,
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("fork: %w", err)
	}
	done := make(chan syscall.WaitStatus, 1)
	s.waiting[pid] = done
	return done, nil
}

// reap waits for all children that have ended: one signal may stand for many.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
		s.mu.Lock()
		done, ours := s.waiting[pid]
		delete(s.waiting, pid)
		s.mu.Unlock()
		if ours {
			done <- status
		}
	}
}
