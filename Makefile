# Headgate: one non-recursive Makefile. MODE picks a variant, each with its own build folder.
#   make             all programs                      make demo [KEEP=1]   the main job, shown
#   make test        everything; SUITE=name for one     make check           unit tests (ONLY=name)
#   make lint        style, layers, isolation           make asan | tsan     unit tests under sanitizers
#   make fuzz T=60   every fuzz target for T seconds     make cov             coverage report
#   make run         a private stack with all daemons   make install DESTDIR= PREFIX=/usr
MODE ?= release
ifeq ($(origin CC),default)
CC := $(if $(filter asan,$(MODE)),clang,gcc)
endif
Q := $(if $(V),,@)
B ?= build/$(MODE)-$(notdir $(CC))
PREFIX ?= /usr/local

COMMA := ,
STRICT := -std=c17 -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion \
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wcast-qual \
  -Wcast-align -Wswitch-enum -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough
CPPFLAGS := -I. -D_GNU_SOURCE -I/usr/include/postgresql
HARDEN := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2 $(if $(findstring x86_64,$(shell uname -m)),-fcf-protection)
FLAGS_release := -O2 -g $(HARDEN) -ffunction-sections -fdata-sections
# clang's sanitized objects are the fuzz targets' too, and all warnings are on: it is the second compiler that reads all sources.
CLANG := $(findstring clang,$(notdir $(CC)))
FLAGS_asan := -O1 $(if $(CLANG),-gline-tables-only,-g) -fPIE -fsanitize=$(if $(CLANG),fuzzer-no-link$(COMMA))address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_tsan := -O1 -g1 -fPIE -fsanitize=thread
FLAGS_cov := -O0 -g -fPIE --coverage
WARN := $(if $(filter release asan,$(MODE)),$(STRICT),-std=c17 -Wall -Wextra)
CFLAGS = $(WARN) $(FLAGS_$(MODE)) $(EXTRA)
LDFLAGS := $(filter -fsanitize% --coverage,$(FLAGS_$(MODE))) -pie -Wl,-z,relro,-z,now -Wl,--gc-sections -Wl,--as-needed
# Programs that are only run here are linked by a faster linker, where there is one.
TEST_LD := $(if $(CLANG),lld,gold)
TEST_LDFLAGS := $(if $(shell command -v ld.$(TEST_LD)),-fuse-ld=$(TEST_LD))
LDLIBS := -lev -lcares -lcyaml -lyaml -lpq -lhiredis -losipparser2 -lsrtp2 -ljansson -lcurl -lmicrohttpd -lgnutls -lssl -lcrypto -lpthread -lm

# ---- the parts: one archive for each folder, one line for each program ---------------------------
FOLDERS := base signaling authz routing lawful_intercept gc media provisioning bti admin_api agency
MAINS := $(wildcard $(FOLDERS:%=%/*_main.c))
$(foreach f,$(FOLDERS),$(eval SRC_$f := $(filter-out $(MAINS),$(wildcard $f/*.c))))
obj = $(patsubst %.c,$(B)/%.o,$1)
lib = $(patsubst %,$(B)/lib%.a,$1)

# Which archives each domain may be linked from: the architecture page's directions.
NEED_base := base
NEED_signaling := signaling base
NEED_authz := authz base
NEED_routing := routing base
NEED_lawful_intercept := lawful_intercept base
NEED_media := media base
NEED_gc := gc lawful_intercept signaling authz routing base
NEED_provisioning := provisioning lawful_intercept media signaling authz base
NEED_bti := bti provisioning media signaling authz base
# Of gc only the sealing of commands (gc/command.c), which knows base alone.
NEED_admin_api := admin_api routing gc base
# Its call data and X2 are lawful_intercept's codecs; of signaling the reader of session descriptions.
NEED_agency := agency lawful_intercept media signaling base
NEED_scenario := gc lawful_intercept signaling authz routing base

PROGRAMS := headgate headgate-prov headgate-admin headgate-li headgate-lea bti headgatectl
MAIN_headgate := gc/headgate_main.c
MAIN_headgate-prov := provisioning/prov_main.c
MAIN_bti := bti/bti_main.c
MAIN_headgate-admin := admin_api/admin_main.c
MAIN_headgate-li := lawful_intercept/li_main.c
MAIN_headgate-lea := agency/lea_main.c
MAIN_headgatectl := admin_api/ctl_main.c
DOMAIN_headgate := gc
DOMAIN_headgate-prov := provisioning
DOMAIN_bti := bti
DOMAIN_headgate-admin := admin_api
DOMAIN_headgate-li := lawful_intercept
DOMAIN_headgate-lea := agency
DOMAIN_headgatectl := admin_api

# A unit test's name begins with its folder: tests/unit/signaling_frame.c links NEED_signaling.
UNIT_SRC := $(wildcard tests/unit/*.c tests/scenario/*.c)
UNITS := $(patsubst %.c,$(B)/%,$(filter-out tests/unit/harness.c,$(UNIT_SRC)))
FUZZERS := $(wildcard tests/fuzz/fuzz_*.c)

.PHONY: all programs units check asan tsan cov lint format fuzz clean test soak demo run install setup
.DELETE_ON_ERROR:
.SECONDARY:
all: $(PROGRAMS:%=$(B)/bin/%)
programs: all

ifeq ($(MODE),asan) # tests are held to gcc's warnings alone
$(B)/tests/%.o: WARN := -std=c17 -w
endif
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

define ARCHIVE
$(B)/lib$1.a: $(call obj,$(SRC_$1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call ARCHIVE,$f)))

# The OpenAPI document of admin_api/openapi is part of headgate-admin, with the list of tables of handlers.
OPENAPI := $(wildcard admin_api/openapi/*.yaml)
$(B)/admin_api/api_bundle.c $(B)/admin_api/api_tables.c &: tools/bundle_api $(OPENAPI)
	@mkdir -p $(@D)
	$(Q)tools/bundle_api --json $(B)/openapi.json --c $(B)/admin_api/api_bundle.c --tables $(B)/admin_api/api_tables.c
$(B)/admin_api/api_bundle.o $(B)/admin_api/api_tables.o: $(B)/admin_api/%.o: $(B)/admin_api/%.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
# That of the officers' API is part of headgate-li.
$(B)/lawful_intercept/li_document.c: tools/bundle_api $(wildcard lawful_intercept/openapi/*.yaml)
	@mkdir -p $(@D)
	$(Q)tools/bundle_api --li --json $(B)/li-openapi.json --c $@
$(B)/lawful_intercept/li_document.o: $(B)/lawful_intercept/li_document.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
$(B)/liblawful_intercept.a: $(B)/lawful_intercept/li_document.o
$(B)/libadmin_api.a: $(B)/admin_api/api_bundle.o $(B)/admin_api/api_tables.o

define PROGRAM
$(B)/bin/$1: $(call obj,$(MAIN_$1)) $(call lib,$(NEED_$(DOMAIN_$1)))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(LDFLAGS) $$^ -o $$@ $$(LDLIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call PROGRAM,$p)))

define UNIT
$(B)/tests/$1: $(B)/tests/$1.o $(call lib,$(NEED_$(if $(filter scenario/%,$1),scenario,$(word 1,$(subst _, ,$(subst admin_api,admin-api,$(subst lawful_intercept,lawful-intercept,$(notdir $1)))))))) 
	$$(Q)$$(CC) $$(LDFLAGS) $(TEST_LDFLAGS) $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group -o $$@ -lcmocka $$(LDLIBS)
endef
NEED_admin-api := $(NEED_admin_api)
NEED_lawful-intercept := $(NEED_lawful_intercept)
$(foreach u,$(UNIT_SRC:tests/%.c=%),$(eval $(call UNIT,$u)))

# ---- the load generator: bench/ and the system tests drive it -------------------------------------
$(B)/bench/load: $(B)/bench/load.o $(B)/bench/load_proof.o $(call lib,signaling authz base)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)
$(B)/bench/count_allocs.so: bench/count_allocs.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE -O2 -fPIC -shared $< -o $@
$(B)/bench/passport_cost: $(B)/bench/passport_cost.o $(call lib,authz base)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)
load: $(B)/bench/load
# What the writers for agencies make, as files for tshark, asn1c and a second implementation.
$(B)/tests/samples/call_data: $(B)/tests/samples/call_data.o $(call lib,lawful_intercept base)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)
samples: $(B)/tests/samples/call_data
bench:
	@bench/run
bench-passport: $(B)/bench/passport_cost
	@bench/passport $<
.PHONY: load samples bench bench-passport

# ---- tests --------------------------------------------------------------------------------------
CHOSEN := $(if $(ONLY),$(foreach t,$(UNITS),$(if $(filter-out 0,$(foreach o,$(ONLY),$(if $(findstring $o,$t),1,0))),$t)),$(UNITS))
units: $(CHOSEN)
check: units
	@tools/run_units $(CHOSEN)

asan:
	@$(MAKE) --no-print-directory MODE=asan check
tsan:
	@$(MAKE) --no-print-directory MODE=tsan check
cov:
	@rm -rf build/cov-$(notdir $(CC))
	@$(MAKE) --no-print-directory MODE=cov check
	@gcovr -r . --exclude 'tests/.*' build/cov-$(notdir $(CC))

setup:
	@tools/setup $(SET)
test:
	@tools/setup test
	@tests/run $(SUITE)
soak:
	@tools/setup test
	@MINUTES=$(or $(MINUTES),10) tests/run soak
demo:
	@tools/setup run
	@$(MAKE) --no-print-directory -j2 all
	@KEEP=$(KEEP) tools/demo
run:
	@tools/setup run
	@$(MAKE) --no-print-directory -j2 all
	@tools/stack up

lint:
	@tools/lint

format:
	@clang-format -i $$(git ls-files '*.[ch]')

# ---- fuzzing: the objects of MODE=asan, which clang makes -------------------------------------------
T ?= 20
FUZZ_LIBS := $(call lib,admin_api agency gc lawful_intercept provisioning media signaling authz routing base)
$(B)/fuzz/%: $(B)/tests/fuzz/%.o $(FUZZ_LIBS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(patsubst -fsanitize=fuzzer-no-link%,-fsanitize=fuzzer%,$(LDFLAGS)) $(TEST_LDFLAGS) $< -Wl,--start-group $(FUZZ_LIBS) -Wl,--end-group -o $@ $(LDLIBS)
fuzz-targets: $(FUZZERS:tests/fuzz/%.c=$(B)/fuzz/%)
fuzz-build:
	@$(MAKE) --no-print-directory MODE=asan CC=clang fuzz-targets
fuzz: fuzz-build
	@T=$(T) tools/fuzz

# What the second compiler says of every source: the programs' own files, which no unit test links, as well.
strict: $(call obj,$(MAINS)) $(call lib,$(FOLDERS))
.PHONY: fuzz-targets fuzz-build strict

clean:
	@rm -rf build

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/headgate/prompts $(DESTDIR)$(PREFIX)/share/headgate/migrations $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install $(PROGRAMS:%=$(B)/bin/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 provisioning/prompts/*.ulaw $(DESTDIR)$(PREFIX)/share/headgate/prompts
	install -m 644 migrations/*.sql $(DESTDIR)$(PREFIX)/share/headgate/migrations
	install -d $(DESTDIR)$(PREFIX)/share/headgate/migrations/li
	install -m 644 migrations/li/*.sql $(DESTDIR)$(PREFIX)/share/headgate/migrations/li
	install -m 644 $(B)/li-openapi.json $(DESTDIR)$(PREFIX)/share/headgate
	install -m 644 $(B)/openapi.json $(DESTDIR)$(PREFIX)/share/headgate
	install -d $(DESTDIR)$(PREFIX)/share/headgate/examples $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	install -m 644 deploy/etc/*.yaml deploy/postgresql/*.conf $(DESTDIR)$(PREFIX)/share/headgate/examples
	install -m 644 deploy/systemd/*.service $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -i 's,/usr/bin/headgate,$(PREFIX)/bin/headgate,' $(patsubst deploy/systemd/%,$(DESTDIR)$(PREFIX)/lib/systemd/system/%,$(wildcard deploy/systemd/*.service))
	install -m 644 deploy/systemd/headgate.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/headgate.conf
	install -m 644 deploy/systemd/headgate.tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/headgate.conf
	install -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	$(B)/bin/headgatectl completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/headgatectl

-include $(shell find $(B) -name '*.d' 2>/dev/null)
