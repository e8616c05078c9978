/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the calling thread was refused last, in words: the call or the option, the number, the system's text, and the next step.
 * Functions of shm/ answer a code and leave the text here; whoever has a log callback hands it on. Each thread has its own.
 */
#ifndef SHM_FAULT_H
#define SHM_FAULT_H

#define FAULT_TEXT_BYTES 400

/* Note the text and hand `error` on; errno stays. */
int fault(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, with ": " and errno's text behind it. */
int fault_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text of the last failure, or NULL where none was noted since fault_clear(). Lives until this thread's next call. */
const char *fault_text(void);
void fault_clear(void);

#endif
