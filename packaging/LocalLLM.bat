@echo off
rem Windows: double-click to start LocalLLM.
cd /d "%~dp0.."
set "PYTHON="
for %%V in (3.14 3.13 3.12 3.11) do if not defined PYTHON py -%%V -c "" >nul 2>nul && set "PYTHON=py -%%V"
if not defined PYTHON python -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul && set "PYTHON=python"
if not defined PYTHON (
    echo LocalLLM needs Python 3.11 or newer. Install it with: winget install Python.Python.3.13
    pause
    exit /b 1
)
%PYTHON% main.py %*
if errorlevel 1 pause
