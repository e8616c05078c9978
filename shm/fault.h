/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of the calling thread's last failure: the call or the option, the number, the system's text, and the next
 * step. Functions of shm/ return a code and leave the text here; a caller with a log callback hands it on. Each thread
 * has its own.
 */
#ifndef TIDE_SHM_FAULT_H
#define TIDE_SHM_FAULT_H

#define FAULT_TEXT_BYTES 400

/* Note the text and return `error`; errno stays. */
int fault(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, with ": " and errno's text behind it. */
int fault_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text of the last failure, or NULL where none was noted since fault_clear(). Lives until this thread's next call. */
const char *fault_text(void);
void fault_clear(void);

#endif
