package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// diskSpace returns the bytes that the owner may still write below path, and those of the whole disk.
func diskSpace(path string) (free, total uint64, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, 0, err
	}
	if err := windows.GetDiskFreeSpaceEx(name, &free, &total, nil); err != nil {
		return 0, 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: path, Err: err}
	}
	return free, total, nil
}
