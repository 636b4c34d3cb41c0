complete --keep-order --exclusive --command mq --arguments "(MQ_COMPLETE=fish mq -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
