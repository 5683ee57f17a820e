# The tables and figures of the paper: each target queues the runs it needs, waits for them, and writes reports/compare.
# `make table6 DATASET=aist` takes another data set; everything in the queue is run, JOBS at a time. Commit the results of
# `dvc repro` first: each run starts from the last commit.
DATASET ?= toy_dance
OWN = params/$(DATASET).yaml
JOBS ?= 1
SETTINGS ?= vanilla,step_intra,step_inter,sample_intra,sample_inter
STEPS ?= 20,40,60,80,100,120
LAMBDAS ?= 5e-4,5e-5,1e-5
CONTRASTIVE_STEPS ?= 60,80,100
CLIP_SECONDS ?= 2,4,6
QUEUE = $(BIN)/dvc exp run --queue -S 'datasets=[$(DATASET)]'
RUN = $(BIN)/dvc exp run --run-all --jobs $(JOBS)
COMPARE = $(BIN)/cdcd compare $(DATASET)
comma := ,
each = $(subst $(comma), ,$(1))

.PHONY: table1 table2 table3 table4 table6 table7 table8 table9 table10 figure4

table1 table2 table3 table4:  ## The table of the data set DATASET: the contrastive settings with their controls
	$(QUEUE) -S 'contrast=$(SETTINGS)'
	$(RUN)
	$(COMPARE) --by contrast --title "$(subst table,Table ,$@)"

table6:  ## All five contrastive settings
	$(QUEUE) -S 'contrast=$(SETTINGS)'
	$(RUN)
	$(COMPARE) --by contrast --title "Table 6"

table7:  ## Clip length, for three settings (dances)
	$(QUEUE) -S 'contrast=vanilla,step_intra,sample_inter' -S '$(OWN):media.clip_seconds=$(CLIP_SECONDS)'
	$(RUN)
	$(COMPARE) --by media.clip_seconds --by contrast --title "Table 7"

table8:  ## Parameters and training steps of the data sets that have been run
	$(BIN)/cdcd report

table9:  ## Weight of the contrastive loss, step_intra
	$(QUEUE) -S contrast=step_intra -S '$(OWN):train.contrast.intra_weight=$(LAMBDAS)'
	$(RUN)
	$(COMPARE) --by train.contrast.intra_weight --title "Table 9"

table10:  ## Number of contrastive steps, step_intra, T = 100
	$(QUEUE) -S contrast=step_intra -S '$(OWN):train.diffusion_steps=100' -S '$(OWN):sample.sampling.steps=100' \
	  -S '$(OWN):++train.contrast.contrastive_steps=$(CONTRASTIVE_STEPS)'
	$(RUN)
	$(COMPARE) --by train.contrast.contrastive_steps --title "Table 10"

figure4:  ## Convergence over the diffusion steps T, vanilla and contrastive
	@for steps in $(call each,$(STEPS)); do \
	  $(QUEUE) -S 'contrast=vanilla,step_intra' -S "$(OWN):train.diffusion_steps=$$steps" \
	    -S "$(OWN):sample.sampling.steps=$$steps" || exit 1; done
	$(RUN)
	$(COMPARE) --by train.diffusion_steps --by sample.sampling.steps --by contrast --title "Figure 4"
