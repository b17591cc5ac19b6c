# Read a Vagrantfile as Vagrant does, and print as JSON what it asks for.  Vagrant itself is not in every distribution, and
# would look for providers; its language is small: a block is called with an object, and each call on that is written down.
#
#   ruby vagrantfile.rb VAGRANTFILE

require "json"

module Vagrant
  def self.require_version(*) = nil
  def self.configure(_) = yield(ROOT)

  module Errors
    class VagrantError < StandardError; end
  end
end

# An object that remembers what it was told: [method, arguments, what its block told in turn].
class Recorder
  attr_reader :told

  def initialize = @told = []
  def respond_to_missing?(*) = true

  def method_missing(name, *arguments, **options, &block)
    return self if name == :vm || name == :trigger
    inner = Array.new(block ? [block.arity, 1].max : 0) { Recorder.new }
    block&.call(*inner) unless name == :ruby # what a trigger does comes later, and on a real machine
    @told << { name: name, arguments: arguments, options: options, inner: inner.map(&:told) }
    self
  end
end

ROOT = Recorder.new
load ARGV[0]
puts JSON.generate(ROOT.told)
