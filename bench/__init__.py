"""Reproducible comparisons: each prints ratios taken within one run, and fails when a target is missed."""
