# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Part of the Makefile: the shared library, and what `make install` puts where.

VERSION := $(shell awk '/define TIDE_VERSION_[MP]/ { v = v s $$3; s = "." } END { print v }' engine/tidemark.h)
SOVERSION := 0

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DOCDIR ?= $(DATADIR)/doc/tidemark
BASHDIR ?= $(DATADIR)/bash-completion/completions
ZSHDIR ?= $(DATADIR)/zsh/site-functions
UNITDIR ?= $(PREFIX)/lib/systemd/system

# ---- the shared library ----------------------------------------------------------------------------------------------

# Objects of its own: position independent ones cost a get 3 % in a program that is linked statically. Calls of public functions
# within the library are not to be replaced from outside.
PIC_OBJECTS := $(patsubst %.c,$(OBJ)/pic/%.o,$(LIB_SRC))
PIC_FLAGS := -fPIC -fno-semantic-interposition
SO := $(B)/libtidemark.so
SO_FULL := $(SO).$(VERSION)

$(OBJ)/pic/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(call say,CC,'$< (position independent)')
	$(Q)$(CC) $(CFLAGS) $(PIC_FLAGS) -c -o $@ $<

# liburcu stays a library of its own. Debian's archive of it cannot be linked into a shared object, and one copy for a whole process is
# what its other users need: docs/embedding.md, *Two copies of liburcu*.
$(SO_FULL): $(PIC_OBJECTS) share/tidemark.map $(OBJ)/sources
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-soname,libtidemark.so.$(SOVERSION) -Wl,--version-script=share/tidemark.map \
		-Wl,-z,defs -Wl,-z,relro -Wl,-z,now -o $@ $(filter %.o,$^) $(LIB_LIBS) -lm
$(SO): $(SO_FULL)
	@ln -sf $(<F) $(B)/libtidemark.so.$(SOVERSION)
	@ln -sf libtidemark.so.$(SOVERSION) $@

# Installed archives are one object each in which only tide_* is global, so that an embedder's ring_append() does not meet ours.
define embed
	@mkdir -p $(@D)
	$(call say,AR,$@)
	$(Q)$(CC) -r -nostdlib -o $(@:.a=.o) $(filter %.o,$^)
	$(Q)$(OBJCOPY) --localize-hidden $(@:.a=.o)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(@:.a=.o)
endef
OBJCOPY ?= objcopy
$(OBJ)/embed/libtidemark.a: $(call objects,$(LIB_SRC))
	$(embed)
$(OBJ)/embed/libtidemark_pic.a: $(PIC_OBJECTS)
	$(embed)

# ---- what is installed -----------------------------------------------------------------------------------------------

# The words that share/*.in have for paths and versions.
INCLUDE_FROM_LIB = $(shell realpath -m --relative-to='$(LIBDIR)' '$(INCLUDEDIR)')
fill = sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@SOVERSION@|$(SOVERSION)|g' -e 's|@PREFIX@|$(PREFIX)|g' \
	-e 's|@BINDIR@|$(BINDIR)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' \
	-e "s|@DATE@|$$(date -u -d @$${SOURCE_DATE_EPOCH:-$$(date +%s)} +%Y-%m-%d)|" -e 's|@INCLUDE_FROM_LIB@|$(INCLUDE_FROM_LIB)|g' -e 's|@POINTER_BYTES@|$(POINTER_BYTES)|g'
POINTER_BYTES = $(shell echo __SIZEOF_POINTER__ | $(CC) -E -P -x c -)

# Manual pages and completions are made of what the commands print, when they are installed: `tide` has to run here.
PAGES := $(OBJ)/pages
COMMANDS := $(shell sed -n 's/^    { "\([a-z-]*\)", "tide .*/\1/p' tools/tide.c | grep -vxE 'help|version')
PAGE_FILES := $(PAGES)/man1/tide.1 $(patsubst %,$(PAGES)/man1/tide-%.1,$(COMMANDS)) $(PAGES)/bash/tide $(PAGES)/zsh/_tide
$(PAGES)/made: $(TIDE) $(wildcard share/*.awk) share/pages.sh
	@sh share/pages.sh $(TIDE) $(VERSION) $(PAGES)
	@touch $@
$(PAGE_FILES): $(PAGES)/made ;

# SOURCE:TARGET:MODE, for install and uninstall alike. Links are made by hand below.
EXAMPLE_FILES := $(wildcard examples/README.md $(addprefix examples/*/,README.md Makefile Dockerfile *.c *.cc *.js *.py *.yaml *.sh))
INSTALLED := \
	engine/tidemark.h:$(INCLUDEDIR)/tidemark.h:644 \
	$(OBJ)/embed/libtidemark.a:$(LIBDIR)/libtidemark.a:644 \
	$(OBJ)/embed/libtidemark_pic.a:$(LIBDIR)/libtidemark_pic.a:644 \
	$(SO_FULL):$(LIBDIR)/libtidemark.so.$(VERSION):644 \
	$(OBJ)/share/tidemark.pc:$(LIBDIR)/pkgconfig/tidemark.pc:644 \
	$(OBJ)/share/tidemark-config.cmake:$(LIBDIR)/cmake/tidemark/tidemark-config.cmake:644 \
	$(OBJ)/share/tidemark-config-version.cmake:$(LIBDIR)/cmake/tidemark/tidemark-config-version.cmake:644 \
	$(TIDE):$(BINDIR)/tide:755 \
	$(foreach page,$(filter %.1,$(PAGE_FILES)),$(page):$(MANDIR)/man1/$(notdir $(page)):644) \
	$(OBJ)/share/tidemark.3:$(MANDIR)/man3/tidemark.3:644 \
	$(PAGES)/bash/tide:$(BASHDIR)/tide:644 \
	$(PAGES)/zsh/_tide:$(ZSHDIR)/_tide:644 \
	$(OBJ)/share/tide-serve@.service:$(UNITDIR)/tide-serve@.service:644 \
	share/prometheus/tidemark.rules.yml:$(DATADIR)/tidemark/prometheus/tidemark.rules.yml:644 \
	share/prometheus/tidemark_test.yml:$(DATADIR)/tidemark/prometheus/tidemark_test.yml:644 \
	share/grafana/tidemark.json:$(DATADIR)/tidemark/grafana/tidemark.json:644 \
	$(foreach file,$(EXAMPLE_FILES),$(file):$(DOCDIR)/$(file):$(if $(filter %.sh,$(file)),755,644))
INSTALLED_LINKS := $(LIBDIR)/libtidemark.so.$(SOVERSION) $(LIBDIR)/libtidemark.so
part = $(word $(1),$(subst :, ,$(2)))

# Anew for each install: PREFIX may be another one.
$(OBJ)/share/%: share/%.in FORCE
	@mkdir -p $(@D)
	@$(fill) $< >$@
$(OBJ)/share/%: share/cmake/%.in FORCE
	@mkdir -p $(@D)
	@$(fill) $< >$@
$(OBJ)/share/%: share/man/%.in FORCE
	@mkdir -p $(@D)
	@awk -f share/functions.awk engine/tidemark.h $< | $(fill) >$@
$(OBJ)/share/%: share/systemd/%.in FORCE
	@mkdir -p $(@D)
	@$(fill) $< >$@

.PHONY: installable install uninstall
installable: $(foreach file,$(INSTALLED),$(call part,1,$(file)))
# One after another: tests that install side by side, to places of their own, make the same files.
install:
	@mkdir -p $(OBJ)
	@$(if $(shell command -v flock),flock $(OBJ)/install.lock) $(MAKE) install-alone
.PHONY: install-alone
install-alone: installable
	$(call say,INSTALL,'$(DESTDIR)$(PREFIX)')
	$(Q)set -e; for file in $(INSTALLED); do \
		source=$${file%%:*}; mode=$${file##*:}; target=$${file#*:}; target='$(DESTDIR)'$${target%:*}; \
		install -D -m $$mode $$source "$$target"; \
	done
	$(Q)ln -sf libtidemark.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/libtidemark.so.$(SOVERSION)'
	$(Q)ln -sf libtidemark.so.$(SOVERSION) '$(DESTDIR)$(LIBDIR)/libtidemark.so'

# Takes the same variables as install did. Folders that others may use stay.
uninstall:
	$(call say,RM,'$(DESTDIR)$(PREFIX)')
	$(Q)for file in $(INSTALLED); do \
		target=$${file#*:}; rm -f '$(DESTDIR)'"$${target%:*}"; \
	done
	$(Q)rm -f $(addprefix '$(DESTDIR)',$(INSTALLED_LINKS))
	$(Q)rmdir '$(DESTDIR)$(LIBDIR)/cmake/tidemark' '$(DESTDIR)$(DATADIR)/tidemark/prometheus' \
		'$(DESTDIR)$(DATADIR)/tidemark/grafana' '$(DESTDIR)$(DATADIR)/tidemark' \
		$(patsubst %,'$(DESTDIR)$(DOCDIR)/%',$(filter-out examples/,$(sort $(dir $(EXAMPLE_FILES))))) \
		'$(DESTDIR)$(DOCDIR)/examples' '$(DESTDIR)$(DOCDIR)' 2>/dev/null || true

# ---- Python ----------------------------------------------------------------------------------------------------------

PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
.PHONY: wheel
wheel: $(OBJ)/embed/libtidemark_pic.a
	$(call say,WHEEL,$(BUILD)/python)
	$(Q)TIDEMARK_BUILD='$(BUILD)' TIDEMARK_ARCHIVE=$< $(PYTHON) -m pip -q wheel --no-build-isolation --no-deps --no-index -w $(BUILD)/python ./bindings/python
	$(Q)ls $(BUILD)/python/*.whl

# ---- Node ------------------------------------------------------------------------------------------------------------

# Sources alone: the addon is built where it is installed, against an installed library.
NODE_PACK ?= $(BUILD)/node
.PHONY: node-pack
node-pack:
	$(call say,PACK,$(NODE_PACK))
	$(Q)mkdir -p $(NODE_PACK) && cd $(NODE_PACK) && npm pack --silent --ignore-scripts $(CURDIR)/bindings/node >/dev/null
	$(Q)ls $(NODE_PACK)/*.tgz

# ---- Debian packages -------------------------------------------------------------------------------------------------

# Built in a copy, since debhelper writes into debian/. The packages lie in build/deb/. DEB_PREBUILT=build takes what is built there as it
# is, without Debian's flags: for a test of the packages, which would compile everything once more otherwise.
DEB_PREBUILT ?=
DEB_TAKEN = libtidemark.* tide obj/release/flags obj/release/sources obj/release/libtools.a \
	$(addprefix obj/release/,shm engine tools pic embed)
.PHONY: deb
deb:
	@CC='$(CC)' sh .ci/deps deb
	$(call say,DEB,$(BUILD)/deb)
	$(Q)rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb/tidemark
	$(Q)tar -c --exclude=./.git --exclude=./build --exclude=./$(BUILD) . | tar -x -C $(BUILD)/deb/tidemark
	$(if $(DEB_PREBUILT),$(Q)mkdir $(BUILD)/deb/tidemark/build && (cd $(DEB_PREBUILT) && tar -c $(DEB_TAKEN)) | tar -x -C $(BUILD)/deb/tidemark/build)
	$(Q)cd $(BUILD)/deb/tidemark && { env -u MAKEFLAGS -u MAKEOVERRIDES -u BUILD -u CONFIG $(if $(DEB_PREBUILT),DEB_BUILD_OPTIONS="$$DEB_BUILD_OPTIONS prebuilt") dpkg-buildpackage -us -uc -b $(if $(JOBS),$(JOBS),-j2) >../log 2>&1 || \
		{ tail -40 ../log >&2; exit 1; }; }
	$(Q)rm -rf $(BUILD)/deb/tidemark
	$(Q)ls $(BUILD)/deb/*.deb
