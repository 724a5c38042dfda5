"""Processes that begin in milliseconds: each is forked from a server, a process that has imported torch already.

To import torch and its compiler takes a process one to three seconds. The server does nothing but import and fork,
so that what is unsafe to fork is not there: other threads, pools of threads, CUDA. Where a server cannot be used
(macOS, Windows, CUDA initialised by an import), ForkError says so, and the caller starts a process otherwise.

`fork_server` asks, `server` is the process that forks, `forked_process` is what the caller gets.
"""
