# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Tidemark. `make help` says what there is. Needs GNU make; everything else `make deps` finds or installs (Debian).

# `make -s`: asked before more flags, which have an s, are added.
SILENT := $(findstring s,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
NM ?= nm
ifeq ($(origin AR),default)
AR := ar
endif
OPT ?= -O3 -g
# Programs are built by all cores, unless the caller said -j.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))
SECONDS ?= 60
# Without SECONDS, the tests of histories and of kills make their full counts, however long those take.
STRESS_COUNTED := $(if $(filter file,$(origin SECONDS)),1)

# CONFIG is release, asan or tsan. Each has its own objects and programs, so that none is linked from a mix.
# BUILD is the root of all that is made.
CONFIG ?= release
BUILD ?= build
OBJ := $(BUILD)/obj/$(CONFIG)
ifeq ($(CONFIG),release)
B := $(BUILD)
else ifeq ($(CONFIG),asan)
B := $(BUILD)/asan
override OPT := -O1 -g -fno-omit-frame-pointer
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
else ifeq ($(CONFIG),tsan)
B := $(BUILD)/tsan
override OPT := -O1 -g -fno-omit-frame-pointer
# gcc warns that ThreadSanitizer does not follow fences. It need not: what the fences order are atomics, and the bytes that
# are copied between them are copied by atomics in this build (shm/bytes.h). clang does not know the warning.
SANITIZE := -fsanitize=thread -Wno-unknown-warning-option -Wno-tsan
else ifeq ($(CONFIG),fuzz)
# libFuzzer's main() and the counting of branches: `make fuzz`, with clang.
B := $(BUILD)/fuzz
override OPT := -O1 -g -fno-omit-frame-pointer
SANITIZE := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fsanitize-coverage-ignorelist=tests/fuzz/uncovered.txt
else
$(error CONFIG is release, asan, tsan or fuzz, not "$(CONFIG)")
endif

# What is done, in a word; V=1 shows the commands, -s nothing.
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),$(if $(SILENT),,@printf '%-7s %s\n' $(1) $(2)))

CFLAGS ?= -std=gnu11 $(OPT) -Wall -Wextra -Werror -fvisibility=hidden
# Tests need not be fast themselves: with -O3 they take longer to compile than all that they test.
TEST_OPT ?= $(if $(filter -O3,$(OPT)),-O1)
override CFLAGS += -I. -D_GNU_SOURCE -D_LGPL_SOURCE -pthread -MMD -MP $(SANITIZE)
LDFLAGS += -pthread $(SANITIZE)
LIB_LIBS := -lurcu-memb -lurcu-common
TOOL_LIBS := $(LIB_LIBS) -lm
BENCH_LIBS := $(LIB_LIBS) -lcjson -lz -lm
TEST_LIBS := $(BENCH_LIBS) -lcmocka

# ---- what there is ---------------------------------------------------------------------------------------------------

LIB_SRC := $(wildcard shm/*.c engine/*/*.c)
TOOL_MAIN := $(wildcard tools/tide.c)
TOOL_SRC := $(filter-out tools/tide.c,$(wildcard tools/*.c tools/*/*.c))
BENCH_LIB_SRC := $(wildcard bench/lib/*.c)
BENCH_MAINS := $(patsubst bench/%.c,%,$(wildcard bench/*.c))
TEST_SRC := $(wildcard tests/test_*.c)
STRESS_SRC := $(wildcard tests/stress_*.c)
CRASH_MAIN := $(wildcard tests/tool_crash*.c)
HELPER_SRC := $(filter-out $(CRASH_MAIN),$(wildcard tests/tool_*.c))
FUZZ_LIB := replay world wrong
FUZZERS := $(filter-out $(FUZZ_LIB),$(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
TEST_LIB_SRC := $(filter-out $(TEST_SRC) $(STRESS_SRC) $(HELPER_SRC) $(CRASH_MAIN),$(wildcard tests/*.c)) $(wildcard tests/lib/*.c)

objects = $(patsubst %.c,$(OBJ)/%.o,$(1))
TIDE := $(if $(TOOL_MAIN),$(B)/tide)
PEER_SRC := $(wildcard bench/peers/*.c)
# Benchmarks that hold bars, each run as build/bench/NAME --json FILE, in this order, by `make bench-peers`.
BAR_BENCHES ?= peers ring visibility put failover join idle look memory growth reserve watch make ttl hitratio evict
PEERS_OPTIONS ?=
HITRATIO_OPTIONS ?=
BENCHES := $(addprefix $(B)/bench/,$(BENCH_MAINS))
TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(TEST_SRC))
STRESSES := $(patsubst tests/%.c,$(B)/tests/%,$(STRESS_SRC))
HELPERS := $(patsubst tests/%.c,$(B)/tests/%,$(HELPER_SRC))
TEST_SCRIPTS := $(wildcard tests/*.test.sh)
ENV_SCRIPTS := $(wildcard tests/env/*.test.sh)

# Threads that take turns have no races to see: tests/sched/sched.h.
ifeq ($(CONFIG),tsan)
TESTS := $(filter-out %/test_schedules,$(TESTS))
endif

# T=NAME runs tests/test_NAME, tests/stress_NAME, tests/NAME.test.sh and tests/env/NAME.test.sh alone, where they are.
ifneq ($(T),)
TESTS := $(filter $(addprefix $(B)/tests/test_,$(T)),$(TESTS))
STRESSES := $(filter $(addprefix $(B)/tests/stress_,$(T)),$(STRESSES))
TEST_SCRIPTS := $(filter $(patsubst %,tests/%.test.sh,$(T)) $(patsubst %,tests/env/%.test.sh,$(T)),$(TEST_SCRIPTS) $(ENV_SCRIPTS))
ENV_SCRIPTS :=
endif

# ---- what to build ---------------------------------------------------------------------------------------------------

.PHONY: all programs test-programs stress-programs
all: deps-named
	@$(MAKE) $(JOBS) programs

programs: $(B)/libtidemark.a $(TIDE) $(BENCHES) $(if $(filter release,$(CONFIG)),$(B)/libtidemark.so)
test-programs: programs $(TESTS) $(HELPERS) $(if $(filter fuzz,$(T))$(if $(T),,all),$(addprefix $(B)/tests/fuzz/,$(FUZZERS))) $(if $(filter release,$(CONFIG)),crash-programs $(OBJ)/embed/libtidemark_pic.a)
stress-programs: programs $(STRESSES) $(HELPERS)

# Rewritten only when it changes, so that another compiler or other flags rebuild everything and the same ones nothing.
$(OBJ)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS) $(TEST_OPT)' | cmp -s - $@ || echo '$(CC) $(CFLAGS) $(TEST_OPT)' >$@

$(OBJ)/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(if $(filter tests/%,$<),$(TEST_OPT)) -c -o $@ $<

# Archives are made anew each time: ar would keep the object of a source that was removed. Helpers of tests and tools
# are archives too, so that a test takes only what it names.
define archive
	@mkdir -p $(@D)
	@rm -f $@.new
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@.new $(filter %.o,$^)
	@mv $@.new $@
endef
$(B)/libtidemark.a: $(call objects,$(LIB_SRC)) $(OBJ)/sources
	$(archive)
$(OBJ)/libtools.a: $(call objects,$(TOOL_SRC)) $(OBJ)/sources
	$(archive)
$(OBJ)/libbench.a: $(call objects,$(BENCH_LIB_SRC)) $(OBJ)/sources
	$(archive)
$(OBJ)/libtest.a: $(call objects,$(TEST_LIB_SRC)) $(OBJ)/sources
	$(archive)

# The list of sources: without it an archive would still hold one that is gone.
$(OBJ)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(LIB_SRC) $(TOOL_SRC) $(BENCH_LIB_SRC) $(PEER_SRC) $(TEST_LIB_SRC)' | cmp -s - $@ || \
		echo '$(LIB_SRC) $(TOOL_SRC) $(BENCH_LIB_SRC) $(PEER_SRC) $(TEST_LIB_SRC)' >$@

define link
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^)
endef
$(B)/tide: $(OBJ)/tools/tide.o $(OBJ)/libtools.a $(B)/libtidemark.a
	$(link) $(TOOL_LIBS)
$(B)/bench/%: $(OBJ)/bench/%.o $(OBJ)/libbench.a $(B)/libtidemark.a
	$(link) $(BENCH_LIBS)

# Not among `programs`: it needs packages that nothing else needs. Peers whose headers are missing are left out.
# HASH: within a function GNU make 4.3 keeps the backslash of \#, and a line that is no directive includes anything.
HASH := \#
COMMA := ,
has_header = $(shell printf '$(HASH)include <stdio.h>\n$(HASH)include <%s>\n' $(1) | $(CC) -E -x c - >/dev/null 2>&1 && echo $(2))
PEER_LIBS = $(call has_header,urcu/rculfhash.h,-lurcu-cds) $(call has_header,ck_ht.h,-lck) \
	$(call has_header,lmdb.h,-llmdb) $(call has_header,hiredis/hiredis.h,-lhiredis)
# Rewritten when a package comes or goes, so that what was left out is compiled again.
$(OBJ)/bench/peers/found: FORCE
	@mkdir -p $(@D)
	@echo '$(PEER_LIBS)' | cmp -s - $@ || echo '$(PEER_LIBS)' >$@
$(call objects,$(PEER_SRC)): $(OBJ)/bench/peers/found
# `tide metrics --listen` and `tide web`: tools/http/ loads the library when it is used, and without the header says that it was left out.
$(OBJ)/tools/http/found: FORCE
	@mkdir -p $(@D)
	@echo '$(call has_header,microhttpd.h,http)' | cmp -s - $@ || echo '$(call has_header,microhttpd.h,http)' >$@
# `tide serve --upstream`: tools/etcd/ loads libcurl when it is used, and without the header says that it was left out.
$(OBJ)/tools/etcd/found: FORCE
	@mkdir -p $(@D)
	@echo '$(call has_header,curl/curl.h,curl)' | cmp -s - $@ || echo '$(call has_header,curl/curl.h,curl)' >$@
$(OBJ)/tools/etcd/http.o $(OBJ)/tools/etcd/curl.o: $(OBJ)/tools/etcd/found
$(call objects,$(wildcard tools/http/*.c)): $(OBJ)/tools/http/found
# The page of `tide web`, which the assembler takes in: tools/web/files.c.
$(OBJ)/tools/web/files.o: $(wildcard tools/web/page/*)
$(OBJ)/libpeers.a: $(call objects,$(filter-out bench/peers/main.c,$(PEER_SRC))) $(OBJ)/sources
	$(archive)
$(B)/bench/peers: $(OBJ)/bench/peers/main.o $(OBJ)/libpeers.a $(OBJ)/libbench.a $(B)/libtidemark.a
	$(link) $(PEER_LIBS) $(BENCH_LIBS)
# The adapters that these two name need no package.
$(B)/bench/getcost: $(OBJ)/bench/getcost.o $(OBJ)/libpeers.a $(OBJ)/libbench.a $(B)/libtidemark.a
	$(link) $(BENCH_LIBS)
$(B)/tests/test_peers: $(OBJ)/tests/test_peers.o $(OBJ)/libtest.a $(OBJ)/libpeers.a $(OBJ)/libbench.a $(B)/libtidemark.a
	$(link) $(TEST_LIBS)
# A fuzzer with the files of its corpus, and with libFuzzer (CONFIG=fuzz).
FUZZ_OBJECTS := $(call objects,$(patsubst %,tests/fuzz/%.c,world wrong))
$(B)/tests/fuzz/%: $(OBJ)/tests/fuzz/%.o $(OBJ)/tests/fuzz/replay.o $(FUZZ_OBJECTS) $(OBJ)/libtest.a $(OBJ)/libtools.a $(B)/libtidemark.a
	$(link) $(TEST_LIBS)
FUZZ_WRAPS_dump := -Wl,--wrap=posix_memalign,--wrap=free
$(B)/fuzzers/%: $(OBJ)/tests/fuzz/%.o $(FUZZ_OBJECTS) $(OBJ)/libtest.a $(OBJ)/libtools.a $(B)/libtidemark.a
	$(link) -fsanitize=fuzzer $(FUZZ_WRAPS_$*) $(TEST_LIBS)
# Programs under a scheduler (tests/sched/sched.h): shm and engine are compiled once more, with a point at each atomic access and each kill point.
# Waits, locks, threads and time are the scheduler's.
SCHED_WRAPPED := park_wait park_wake park_wait_bits park_wake_bits rcu_wait rcu_quiet pthread_create pthread_join pthread_mutex_lock pthread_mutex_trylock pthread_mutex_unlock clock_gettime
SCHED_OBJECTS := $(patsubst %.c,$(OBJ)/sched/%.o,$(filter-out engine/table/grace.c,$(LIB_SRC)) tests/sched/scenarios.c tests/sched/grace.c) \
	$(OBJ)/tests/sched/sched.o
SCHED_OPT = -include tests/sched/points.h -DTIDE_KILL_POINTS $(CRASH_OPT)
$(OBJ)/sched/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(call say,CC,'$< (scheduled)')
	$(Q)$(CC) $(CFLAGS) $(SCHED_OPT) -c -o $@ $<
$(B)/tests/test_schedules $(B)/tests/stress_schedules: $(B)/tests/%: $(OBJ)/tests/%.o $(SCHED_OBJECTS) $(OBJ)/libtest.a $(OBJ)/libbench.a $(OBJ)/sources
	$(link) $(addprefix -Wl$(COMMA)--wrap=,$(SCHED_WRAPPED)) $(TEST_LIBS)
$(B)/tests/%: $(OBJ)/tests/%.o $(OBJ)/libtest.a $(OBJ)/libtools.a $(OBJ)/libbench.a $(B)/libtidemark.a
	$(link) $(TEST_LIBS)

# Programs that die at named instants on request (engine/table/kill.h). The engine, compiled once more, is linked ahead of
# the library, of which only shm/ is taken then.
CRASH := $(BUILD)/crash
# gcc -O1 warns of variables that are initialised. clang does not know the warning.
CRASH_OPT := $(TEST_OPT) -Wno-unknown-warning-option -Wno-maybe-uninitialized
CRASH_OBJECTS := $(patsubst %.c,$(OBJ)/crash/%.o,$(filter engine/%,$(LIB_SRC)))
CRASH_TOOLS := $(patsubst tests/%.c,$(CRASH)/tests/%,$(CRASH_MAIN))
.PHONY: crash-programs
crash-programs: $(CRASH_TOOLS)
$(OBJ)/crash/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(call say,CC,'$< (kill points)')
	$(Q)$(CC) $(CFLAGS) -DTIDE_KILL_POINTS $(CRASH_OPT) -c -o $@ $<
$(CRASH)/tests/%: $(OBJ)/crash/tests/%.o $(CRASH_OBJECTS) $(OBJ)/libtest.a $(B)/libtidemark.a $(OBJ)/sources
	$(link) $(TEST_LIBS)

.SECONDARY:
-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

# ---- what to run -----------------------------------------------------------------------------------------------------

.PHONY: bench bench-peers test test-all lag stress asan tsan aarch64 check
bench:
	@CC='$(CC)' sh .ci/deps bench
	@$(MAKE) $(JOBS) programs
	$(B)/bench/readscale --out $(B)/report

# All of them run, also after one has failed; the page then calls the bars of that one not measured.
bench-peers:
	@CC='$(CC)' sh .ci/deps bench peers
	@$(MAKE) $(JOBS) programs $(B)/bench/peers
	@mkdir -p $(B)/report
	@failed=; for bench in $(BAR_BENCHES); do \
		options=; case $$bench in peers) options='$(PEERS_OPTIONS)' ;; hitratio) options='$(HITRATIO_OPTIONS)' ;; esac; \
		echo "$(B)/bench/$$bench $$options --json $(B)/report/$$bench.json"; \
		$(B)/bench/$$bench $$options --json $(B)/report/$$bench.json; rc=$$?; \
		[ $$rc -lt 128 ] || exit $$rc; \
		[ $$rc = 0 ] || failed="$$failed $$bench"; \
	done; \
	if [ -x $(B)/bench/bars ]; then \
		$(B)/bench/bars --out $(B)/report/bars.html $(B)/report/*.json || failed="$$failed bars"; \
	fi; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

test:
	@CC='$(CC)' sh .ci/deps test
	@$(MAKE) $(JOBS) test-programs
	@CC='$(CC)' TIDE_SANITIZE='$(SANITIZE)' TIDE_BUILD=$(B) sh tests/run.sh $(TESTS) $(TEST_SCRIPTS)

# Every optional package first, so that nothing is skipped that this machine could run; and the tests of environments.
test-all:
	@CC='$(CC)' sh .ci/deps test
	@CC='$(CC)' sh .ci/deps bench peers env || echo 'going on without the packages above: what needs them is skipped' >&2
	@$(MAKE) $(JOBS) test-programs
	@CC='$(CC)' TIDE_SANITIZE='$(SANITIZE)' TIDE_BUILD=$(B) sh tests/run.sh $(TESTS) $(TEST_SCRIPTS) $(ENV_SCRIPTS)

# The tests on a machine that is busy with others: calls return late, at random (tests/lag/lag.c). SEED= says which, T= names some.
SEED ?= 1
$(B)/lag.so: tests/lag/lag.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -fPIC -shared -o $@ $<
lag:
	@CC='$(CC)' sh .ci/deps test
	@$(MAKE) $(JOBS) test-programs $(B)/lag.so
	@CC='$(CC)' TIDE_BUILD=$(B) TIDE_LAG_SEED=$(SEED) LD_PRELOAD=$(abspath $(B))/lag.so sh tests/run.sh $(TESTS) $(TEST_SCRIPTS)

stress:
	@CC='$(CC)' sh .ci/deps test
	@$(MAKE) $(JOBS) stress-programs
	@TIDE_BUILD=$(B) TIDE_STRESS_SECONDS=$(SECONDS) TIDE_STRESS_COUNTED=$(STRESS_COUNTED) sh tests/run.sh $(STRESSES)

# Each fuzzer for SECONDS, or --- with RUNS= --- for so many executions; F= names some. New inputs go to build/fuzz/found/, and an input that
# ends a fuzzer to build/fuzz/crashes/: move it to tests/fuzz/corpus/, where `make test` gives it to the mended code for ever.
.PHONY: fuzz fuzz-programs
F ?= $(FUZZERS)
RUNS ?=
fuzz-programs: $(addprefix $(B)/fuzzers/,$(F))
fuzz:
	@command -v clang >/dev/null || { echo 'make fuzz needs clang, with libFuzzer' >&2; exit 1; }
	@$(MAKE) $(JOBS) CONFIG=fuzz CC=clang F='$(F)' fuzz-programs
	@TIDE_BUILD=$(BUILD)/fuzz TIDE_FUZZ_SECONDS=$(SECONDS) TIDE_FUZZ_RUNS='$(RUNS)' sh tests/fuzz/run.sh $(F)

# Everything at once for HOURS (8; a fraction is allowed), and what has grown meanwhile. JSON= names a file for all figures.
.PHONY: soak
HOURS ?= 8
JSON ?=
soak:
	@CC='$(CC)' sh .ci/deps test
	@$(MAKE) $(JOBS) $(B)/tests/stress_soak $(TIDE)
	@TIDE_BUILD=$(B) $(B)/tests/stress_soak --hours $(HOURS) $(if $(JSON),--json $(JSON))

# Every state of each model in tests/models/, and of its mutants. M= names some.
.PHONY: models
models:
	@command -v spin >/dev/null || { echo 'make models needs spin (Debian: spin)' >&2; exit 1; }
	@CC='$(CC)' TIDE_BUILD=$(B) sh tests/models/run.sh $(M)

# Some sixty one-line faults, each of which a test has to notice. Hours; begun again, it goes on where it was. N= names some.
.PHONY: mutants
mutants:
	@CC='$(CC)' TIDE_BUILD=$(B) sh tests/mutants/run.sh $(N)

asan tsan:
	@TIDE_SANITIZED=1 $(MAKE) CONFIG=$@ test

# The whole project by a cross compiler, and its tests in an emulator of one process: docs/operations.md, "Other processors".
# AARCH64_ROOT is where the libraries' packages are unpacked. Left out is what starts other programs or gives a forked child
# threads, which the emulator does not survive.
AARCH64_ROOT ?= $(BUILD)/aarch64-root
AARCH64_LIB = $(AARCH64_ROOT)/usr/lib/aarch64-linux-gnu
AARCH64_CC = aarch64-linux-gnu-gcc -I$(AARCH64_ROOT)/usr/include -I$(AARCH64_ROOT)/usr/include/aarch64-linux-gnu -L$(AARCH64_LIB)
AARCH64_RUN = qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$(AARCH64_LIB):$(AARCH64_ROOT)/lib/aarch64-linux-gnu
AARCH64_NOT := bench_micro crash history schedules
AARCH64_TESTS = $(patsubst $(B)/%,$(BUILD)/aarch64/%,$(filter-out $(addprefix $(B)/tests/test_,$(AARCH64_NOT)),$(TESTS)))
aarch64:
	@[ -d $(AARCH64_LIB) ] || { echo 'AARCH64_ROOT=$(AARCH64_ROOT) has no libraries: see docs/operations.md' >&2; exit 1; }
	@$(MAKE) $(JOBS) BUILD=$(BUILD)/aarch64 AR=aarch64-linux-gnu-ar CC='$(AARCH64_CC)' test-programs
	@TIDE_BUILD=$(BUILD)/aarch64 TIDE_SANITIZED=1 TIDE_TEST_RUNNER='$(AARCH64_RUN)' \
		sh tests/run.sh $(AARCH64_TESTS)

check:
	@CC='$(CC)' sh .ci/deps build
	@$(MAKE) $(JOBS) programs
	@CC='$(CC)' TIDE_BUILD=$(B) sh tests/check.sh .

# ---- the rest --------------------------------------------------------------------------------------------------------

.PHONY: deps deps-named clean help format picture FORCE
deps:
	@CC='$(CC)' sh .ci/deps test bench

deps-named:
	@CC='$(CC)' TIDE_NO_INSTALL=1 sh .ci/deps build

clean:
	$(call say,RM,$(BUILD))
	$(Q)rm -rf $(BUILD)

help:
	@echo 'Build:'
	@echo '  make                    the library, the command, the benchmarks: build/libtidemark.a and .so, build/tide, build/bench/'
	@echo '  make install PREFIX=    libraries, header, tidemark.pc, CMake package, tide, pages, completions, unit;'
	@echo '                          DESTDIR is honoured, LIBDIR= and the like are in share/install.mk; make uninstall'
	@echo '  make deb                Debian packages, in build/deb/: libtidemark0, libtidemark-dev, tidemark-tools, python3-tidemark'
	@echo '  make wheel              the package for Python, in build/python/: needs python3-dev, python3-setuptools, python3-wheel'
	@echo '  make node-pack          the module for Node, in build/node/: needs npm; installing it needs an installed library'
	@echo '  make deps               install the missing Debian packages (test and bench do it themselves)'
	@echo '  make clean              remove build/'
	@echo 'Test:'
	@echo '  make test               unit, model and protocol tests; the last line is "N passed, N failed"'
	@echo '  make test T=ring        of tests/test_NAME, tests/NAME.test.sh and tests/env/NAME.test.sh those named alone;'
	@echo '                          stress, asan and tsan take T= as well'
	@echo '  make test-all           the same with every optional package, and the tests of environments (tests/env/): closed'
	@echo '                          descriptors, limits, small memory; where root may, else they are skipped'
	@echo '  make asan, make tsan    the tests under AddressSanitizer and UBSan, or ThreadSanitizer'
	@echo '  make lag SEED=1         the tests while calls return late, at random: one that takes a while for granted fails; T= as well'
	@echo '  make stress             each stress test for a minute; 10,000 histories and 1,000 kills, which take some more'
	@echo '  make stress SECONDS=10  each of them, those too, for so long'
	@echo '  make soak HOURS=8       everything at once, and what has grown by its end; a fraction is allowed, JSON= names a file'
	@echo '  make fuzz SECONDS=600   each fuzzer of tests/fuzz/ for so long, or RUNS=1000000 executions; F= names some; needs clang'
	@echo '  make mutants            one-line faults of engine and shm, each of which a test has to notice: hours, goes on where it was'
	@echo '  make models             the models of tests/models/, each state of each, and of their mutants; M= names some; needs spin'
	@echo '  make aarch64            built by a cross compiler, tested in an emulator: docs/operations.md, "Other processors"'
	@echo 'Look after the sources:'
	@echo '  make check              rooms and circles, memory orders, names in comments and pages, format, licence lines,'
	@echo '                          exported symbols'
	@echo '  make format             clang-format over the sources'
	@echo '  make picture            docs/pictures/web.png anew: needs chromium'
	@echo 'Measure:'
	@echo '  make bench              a read-scaling sweep of about a minute; says where its report is'
	@echo '  make bench-peers        Tidemark beside other tables and stores, and all bars: minutes; build/report/*.json'
	@echo 'Variables: V=1 shows the commands, T= names tests, CC=clang, OPT="-O2 -g", CONFIG=asan or tsan, BUILD= (build),'
	@echo '  TIDE_NO_INSTALL=1 only names the packages that are missing.'

# The picture of `tide web` in the README: a domain with some traffic, in Chromium, a minute after the page was opened.
picture:
	@$(MAKE) $(JOBS) programs $(B)/tests/tool_traffic
	@mkdir -p docs/pictures
	@dir=$$(mktemp -d -p /dev/shm) && TIDE_SHM_DIR=$$dir /usr/bin/python3 tests/web/page.py $(B)/tide $(B)/tests/tool_traffic $(B) docs/pictures/web.png; \
		rc=$$?; rm -rf "$$dir"; exit $$rc

format:
	@command -v clang-format >/dev/null || { echo 'make format needs clang-format' >&2; exit 1; }
	$(Q)clang-format -i $(wildcard shm/*.[ch] engine/*.[ch] engine/*/*.[ch] tools/*.[ch] tools/*/*.[ch] bench/*.[ch] \
		bench/*/*.[ch] tests/*.[ch] tests/*/*.[ch])

include share/install.mk

FORCE:
