package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Lock takes the lock file at path and returns the function that gives it up.
// When another process has it, waiting is called once. The file is removed
// with the lock, so nothing stays behind.
func Lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	for first := true; ; first = false {
		unlock, err := tryLock(path)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return unlock, err
		}
		if first {
			waiting()
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("wait for lock %s: %w", path, err)
		}
	}
}

func tryLock(path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make folder of lock: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, syscall.EWOULDBLOCK // The folder was removed by the last one to leave: again.
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := take(file, path); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() {
		_ = os.Remove(path)
		_ = file.Close()
	}, nil
}

// take locks the open file, if it still is the one at path: whoever had the
// lock before may have removed it, and then it keeps nobody out.
func take(file *os.File, path string) error {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	mine, errMine := file.Stat()
	there, errThere := os.Stat(path)
	if errMine != nil || errThere != nil || !os.SameFile(mine, there) {
		return syscall.EWOULDBLOCK
	}
	return nil
}
